// Gradio 3's lists in which one may write take the text when a key goes up, and at Enter an entry that merely has it in it.

(function() {
    const FIELD = ".ip-adapter .ip-adapter-written";
    const walked = new WeakSet();  // boxes in whose lists an arrow key has gone to an entry

    const isBox = element => element.matches?.("input") && element.closest(FIELD) !== null;

    // By mouse, by a phone's keyboard, in another script: no key goes up. Gradio's own handler knows the text by then.
    window.addEventListener("input", function({target}) {
        if (!isBox(target)) return;
        walked.delete(target);
        target.dispatchEvent(new KeyboardEvent("keyup"));
    });

    // In the capturing phase, before gradio's handler; the rest of the page hears it all the same, as of Ctrl+Enter.
    window.addEventListener("keydown", function(event) {
        const box = event.target;
        if (!isBox(box)) return;
        if (event.key !== "Enter") {
            walked[["ArrowUp", "ArrowDown"].includes(event.key) ? "add" : "delete"](box);
        } else if (!walked.delete(box)) {
            event.stopPropagation();
            box.closest(FIELD).dispatchEvent(new KeyboardEvent("keydown", event));
            if (!event.isComposing) box.blur();
        }
    }, true);
})();
