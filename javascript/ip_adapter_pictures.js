// Pictures into a unit: dragged from anywhere, pasted from the clipboard, sent from the gallery.

(function() {
    const here = window.ipAdapter;
    const SEND = "Send to IP-Adapter";
    const UNREADABLE = "This picture cannot be fetched from its place; save it and drop the file.";
    const STUCK = "The pictures could not be changed; look at the list, and try again.";

    const TEXTS = "textarea, [contenteditable], input:is([type=text], [type=number], [type=search], :not([type]))";

    const isPicture = file => file?.type.startsWith("image/");
    const upload = field => field?.querySelector('input[type="file"]');

    // The field for pictures that `element` belongs to; else the reference of the open unit.
    function fieldFor(element, panel) {
        const several = element?.closest?.(`[id^="${panel.id}_unit_"][id$="_images_panel"]`);
        if (several) return document.getElementById(several.id.replace(/_panel$/, ""));
        const field = element?.closest?.(`[id^="${panel.id}_unit_"]`);
        // A topic's panel holds fields, also while it is folded, and none of them is meant by its heading.
        const isOne = field && !/_(view|panel)$/.test(field.id);
        const takes = isOne && field.querySelector('input[type="file"], img');
        return takes ? field : here.openField(panel, "image");
    }

    // What a field for several files holds.
    here.filesIn = field => [...field.querySelectorAll("a[href]")]
        .map(link => ({name: link.download || "picture", address: link.href}));

    async function until(holds, seconds = 5) {
        for (let tries = 0; tries < 20 * seconds && !holds(); tries++) await new Promise(resolve => setTimeout(resolve, 50));
        if (!holds()) throw Object.assign(new Error("gradio has not done it"), {sentence: STUCK});
    }

    const handed = new WeakSet();  // our own events

    function hand(input, given) {
        const files = new DataTransfer();
        given.forEach(file => files.items.add(file));
        input.files = files.files;
        const event = new Event("change", {bubbles: true});
        handed.add(event);
        input.dispatchEvent(event);
    }

    // Gradio 3's sketch over a picture: another picture would get its strokes, or, if it is the same, none that gradio's
    // own code could read.
    const sketch = field => field.querySelector('[aria-label="Remove Image"]');

    // Its label is in the browser's language; it is the last button that belongs to no single file.
    const clear = field => (sketch(field)
        ?? [...field.querySelectorAll("button")].filter(button => !button.closest("tr, li")).pop())?.click();

    // Gradio 3 keeps its file input beside a picture, later ones have it only where none is.
    here.put = async function(field, given) {
        const files = await here.readable(field, [given]);
        const isDrawnOn = Boolean(sketch(field));
        if (isDrawnOn || !upload(field)) clear(field);
        await until(() => upload(field) && !(isDrawnOn && field.querySelector("img, canvas")));
        hand(upload(field), files);
    };

    // In place of all that a field for several files holds: gradio 3 cannot add to them, or change their order.
    here.putAll = async function(field, given) {
        const files = await here.readable(field, given);
        if (here.filesIn(field).length) clear(field);
        await until(() => upload(field) && !here.filesIn(field).length);
        if (files.length) hand(upload(field), files);
        await until(() => here.filesIn(field).length === files.length, 60);
    };

    const kept = field => Promise.all(here.filesIn(field).map(({address, name}) => here.fetched(address, name)));
    const takesSeveral = field => field.id.endsWith("_images");
    const give = async (field, files) => takesSeveral(field)
        ? here.putAll(field, [...await kept(field), ...files]) : here.put(field, files[0]);

    // What a field holds already, and so has a name, is not judged again.
    here.fetched = async function(address, name) {
        const answer = await fetch(address);
        const content = await answer.blob();
        if (!answer.ok || !(name || isPicture(content))) throw new Error(`${address} is no picture`);
        return new File([content], name ?? "picture", {type: content.type});
    };

    function say(field, sentence) {
        const note = document.getElementById(field.id.replace(/(_unit_\d+)_.*$/, "$1_note"));
        const place = note?.querySelector(".prose") ?? note;
        if (place) place.textContent = here.translated(sentence);
    }

    // What changes a field begins when what was begun there before has ended; what goes wrong is said in the note.
    const turns = new WeakMap();
    here.change = function(field, act) {
        const mine = (turns.get(field) ?? Promise.resolve()).then(act).catch(function(error) {
            console.error(error);
            say(field, error.sentence ?? UNREADABLE);
        });
        turns.set(field, mine);
        return mine;
    };

    // The picture at `address`, or, where there is none or it cannot be fetched, the files that came with it.
    async function given(files, address) {
        try {
            return address ? [await here.fetched(address)] : files;
        } catch (error) {
            if (files.length) return files;
            throw error;
        }
    }

    const take = (field, files, address) => here.change(field, async() => give(field, await given(files, address)));

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
        const dropped = [...event.dataTransfer.files], pictures = dropped.filter(isPicture);
        const files = pictures.length ? pictures : dropped;  // what some systems call nothing may be one
        const address = addressOf(event.dataTransfer);
        event.preventDefault();
        event.stopImmediatePropagation();
        if (address || files.length) take(field, files, address);
    }, true);

    // What was chosen in a file dialog.
    window.addEventListener("change", function(event) {
        const input = event.target, files = [...(input.files ?? [])];
        const field = panelOf(input) && input.closest('[id*="_unit_"]');
        if (!field || !files.length || handed.has(event)) return;
        event.stopImmediatePropagation();
        input.value = "";  // the same file may be chosen once more
        here.change(field, async() => hand(input, await here.readable(field, files)));
    }, true);

    // The mouse says it more exactly than the focus, which a click anywhere in the panel leaves behind.
    function pointedAt() {
        const under = [...gradioApp().querySelectorAll(":hover")].pop();
        const isMeant = panelOf(under) || under?.closest('[data-testid="image"]');
        return isMeant ? under : document.activeElement;
    }

    window.addEventListener("paste", function(event) {
        const file = [...(event.clipboardData?.files ?? [])].find(isPicture);
        const over = pointedAt();
        const panel = panelOf(over);
        if (!file || !panel) return;
        // Cells of a spreadsheet, and words of a document, come with a picture of themselves.
        const wantsText = event.target.closest?.(TEXTS);
        if (wantsText && event.clipboardData.types.includes("text/plain")) return;
        event.preventDefault();
        event.stopImmediatePropagation();
        take(fieldFor(over, panel), [file]);
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
            await take(field, [], picture.src);
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
