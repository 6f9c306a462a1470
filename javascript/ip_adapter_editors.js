// Puts an editor above each text box that has one, and redraws it when a paste or a preset has changed the text.

(function() {
    const here = window.ipAdapter;
    const shown = [];

    function look(panel) {
        for (const [ending, Editor] of Object.entries(here.editors)) {
            for (const field of panel.querySelectorAll(`[id^="${panel.id}_unit_"][id$="${ending}"]`)) {
                const box = field.querySelector("textarea, input[type=text]");
                if (!box || shown.some(editor => editor.box === box)) continue;
                shown.push(new Editor(field, box));
            }
        }
    }

    // A program that sets a text box's value announces nothing.
    function follow() {
        for (const editor of shown) if (editor.box.value !== editor.seen) editor.draw();
    }

    here.onPanelUpdate(look);
    onUiLoaded(() => setInterval(follow, 500));
})();
