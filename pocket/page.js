// What the extension's scripts ask of the WebUI, for pages that are served without one.

(function() {
    const loaded = [], updated = [];
    let timer, isLoaded = false;

    window.opts = {};
    window.gradioApp = () => document;
    window.onUiLoaded = callback => loaded.push(callback);
    window.onAfterUiUpdate = callback => updated.push(callback);
    window.onOptionsChanged = () => {};  // there are no options here

    function changed() {
        clearTimeout(timer);
        timer = setTimeout(() => updated.forEach(callback => callback()), 200);
        if (isLoaded || !document.querySelector("#txt2img_prompt textarea, #txt2img_prompt input")) return;
        isLoaded = true;
        loaded.forEach(callback => callback());
    }

    function start() {
        new MutationObserver(changed).observe(document.body, {childList: true, subtree: true});
        changed();
    }

    // Gradio puts what belongs into the head there by a script, before or after the page is complete.
    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        setTimeout(start);
    }
})();
