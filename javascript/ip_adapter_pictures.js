// Pictures into a unit: dragged from anywhere, pasted from the clipboard, sent from the gallery.

(function() {
    const here = window.ipAdapter;
    const SEND = "Send to IP-Adapter";
    const UNREADABLE = "This picture cannot be fetched from its place; save it and drop the file.";

    const isPicture = file => file?.type.startsWith("image/");
    const upload = field => field?.querySelector('input[type="file"]');

    // The field for pictures that `element` belongs to; else the reference of the open unit.
    function fieldFor(element, panel) {
        const field = element?.closest?.(`[id^="${panel.id}_unit_"]`);
        const takes = field && !field.id.endsWith("_view") && field.querySelector('input[type="file"], img');
        return takes ? field : here.openField(panel, "image");
    }

    // Gradio 3 keeps its file input beside a picture, later ones have it only where none is.
    async function put(field, file) {
        if (!upload(field)) field.querySelector('[aria-label="Clear"], [aria-label="Remove Image"]')?.click();
        for (let tries = 0; tries < 40 && !upload(field); tries++) {
            await new Promise(resolve => setTimeout(resolve, 50));
        }
        const files = new DataTransfer();
        files.items.add(file);
        upload(field).files = files.files;
        upload(field).dispatchEvent(new Event("change", {bubbles: true}));
    }

    async function fetched(address) {
        const answer = await fetch(address);
        const content = await answer.blob();
        if (!answer.ok || !isPicture(content)) throw new Error(`${address} is no picture`);
        return new File([content], "picture", {type: content.type});
    }

    function say(field, sentence) {
        const note = document.getElementById(field.id.replace(/_[a-z]+$/, "_note"));
        const place = note?.querySelector(".prose") ?? note;
        if (place) place.textContent = here.translated(sentence);
    }

    async function take(field, file, address) {
        try {
            await put(field, file ?? await fetched(address));
        } catch (error) {
            console.error(error);
            say(field, UNREADABLE);
        }
    }

    // A page's picture that is dragged has an address, and in some browsers is a file too: the address has the original.
    const addressOf = data => (data.getData("text/uri-list") || "").split("\n").find(line => line && line[0] !== "#");
    const panelOf = element => element?.closest?.(".ip-adapter");
    const mayBePicture = data => ["Files", "text/uri-list"].some(type => data?.types.includes(type));

    // In the capturing phase, before gradio's and the WebUI's own handlers, which know files only.
    window.addEventListener("dragover", function(event) {
        if (!panelOf(event.target) || !mayBePicture(event.dataTransfer)) return;
        event.preventDefault();
        event.stopPropagation();
        event.dataTransfer.dropEffect = "copy";
    }, true);

    window.addEventListener("drop", function(event) {
        const panel = panelOf(event.target);
        if (!panel || !mayBePicture(event.dataTransfer)) return;
        const field = fieldFor(event.target, panel);
        const file = [...event.dataTransfer.files].find(isPicture);
        const address = addressOf(event.dataTransfer);
        event.preventDefault();
        event.stopImmediatePropagation();
        if (address) {
            fetched(address).then(found => put(field, found), () => file ? put(field, file) : say(field, UNREADABLE));
        } else if (file) {
            take(field, file);
        }
    }, true);

    window.addEventListener("paste", function(event) {
        const file = [...(event.clipboardData?.files ?? [])].find(isPicture);
        // The mouse says it more exactly than the focus, which a click anywhere in the panel leaves behind.
        const over = [...gradioApp().querySelectorAll(".ip-adapter :hover")].pop() ?? document.activeElement;
        const panel = panelOf(over);
        if (!file || !panel) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        take(fieldFor(over, panel), file);
    }, true);

    function shown(tab) {
        const gallery = gradioApp().querySelector(`#${tab}_gallery`);
        const places = [".preview img", ".thumbnail-item.selected img", "img"];
        return places.map(place => gallery?.querySelector(place)).find(Boolean);
    }

    async function send(tab) {
        const panel = here.panel(tab), picture = shown(tab);
        here.unfold(panel);
        const field = await new Promise(resolve => setTimeout(() => resolve(here.openField(panel, "image")), 50));
        field.scrollIntoView({block: "center"});
        if (picture) {
            await take(field, null, picture.src);
        } else {
            say(field, "There is no picture to send yet.");
        }
    }

    function addButton(tab) {
        const beside = gradioApp().querySelector(`#image_buttons_${tab} button:last-of-type`);
        const id = `${tab}_send_to_ip_adapter`;
        if (!beside || !here.panel(tab) || document.getElementById(id)) return;
        const text = here.translated(SEND);
        const about = {id, type: "button", title: text, "aria-label": text, class: beside.className};
        const button = here.make("button", about, beside.classList.contains("tool") ? "🧩" : text);
        button.addEventListener("click", () => send(tab));
        beside.after(button);
    }

    onUiLoaded(() => here.tabs.forEach(addButton));
    onAfterUiUpdate(() => here.tabs.forEach(addButton));  // a gradio that draws its row anew has lost it
})();
