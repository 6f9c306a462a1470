// A blank canvas for a region's mask: gradio 3 lets nobody draw where no picture is.

(function() {
    const here = window.ipAdapter;
    const LABEL = "Blank canvas", USUAL = 512, MOST = 2048;

    // What the mask will lie over: img2img's picture, where there is one, else the picture that the tab will make.
    function size(panel) {
        const tab = panel.id.replace(/^ip_adapter_/, "");
        const given = tab === "img2img" ? [...gradioApp().querySelectorAll("#mode_img2img :is(img, canvas)")] : [];
        const source = given.find(one => one.offsetParent && (one.naturalWidth || one.width));
        const side = name => Number(gradioApp().querySelector(`#${tab}_${name} input[type=number]`)?.value) || USUAL;
        const [width, height] = source
            ? [source.naturalWidth || source.width, source.naturalHeight || source.height] : [side("width"), side("height")];
        const share = Math.min(1, MOST / Math.max(width, height));
        return {width: Math.round(width * share), height: Math.round(height * share)};
    }

    function blank(panel) {
        const canvas = here.make("canvas", size(panel));
        const pen = canvas.getContext("2d");
        pen.fillRect(0, 0, canvas.width, canvas.height);
        return here.png(canvas, "canvas.png");
    }

    function addButton(panel, field) {
        if (document.getElementById(`${field.id}_blank`)) return;
        const text = here.translated(LABEL);
        const about = {id: `${field.id}_blank`, type: "button", class: "ip-adapter-small"};
        const button = here.make("button", about, text);
        button.addEventListener("click", () => here.change(field, async() => here.put(field, await blank(panel))));
        field.after(button);
    }

    here.onPanelUpdate(function(panel) {
        const fields = [...panel.querySelectorAll(`[id^="${panel.id}_unit_"][id$="_mask"]`)];
        fields.filter(field => !field.id.endsWith("_image_mask")).forEach(field => addButton(panel, field));
    });
})();
