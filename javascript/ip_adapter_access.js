// Every control explains itself, and can be reached and used from the keyboard.

(function() {
    const here = window.ipAdapter;

    const explained = new WeakSet();

    function explain(panel) {
        const met = [...panel.querySelectorAll("[id]")].filter(element => !explained.has(element));
        const source = met.length && panel.querySelector("[data-about]");
        if (!source) return;
        const about = JSON.parse(source.dataset.about);
        for (const element of met) {
            explained.add(element);
            const name = element.id.replace(/^ip_adapter_[a-z0-9]+_(unit_\d+_)?/, "");
            const sentence = about[name] ?? about[name.match(/_(refresh)$/)?.[1]];
            if (!sentence || element.title) continue;
            element.title = here.translated(sentence);
            for (const control of element.querySelectorAll("input, textarea")) {
                control.setAttribute("aria-description", element.title);
            }
        }
    }

    // In gradio 3 the labels of accordions and the places for uploads are no buttons.
    function makeButton(element, press) {
        if (element.matches("button, [role=button]")) return;
        element.tabIndex = 0;
        element.setAttribute("role", "button");
        element.addEventListener("keydown", function(event) {
            if (event.target !== element || !["Enter", " "].includes(event.key)) return;
            event.preventDefault();
            press();
        });
    }

    function reach(panel) {
        for (const label of panel.querySelectorAll(".label-wrap")) {
            makeButton(label, () => label.click());
            label.setAttribute("aria-expanded", here.isOpen(label));
        }
        for (const input of panel.querySelectorAll('input[type="file"]')) {
            const place = input.parentElement;
            if (place.matches("button")) continue;
            makeButton(place, () => place.click());
            place.setAttribute("aria-label", place.closest("[id]").querySelector("label")?.textContent.trim() ?? "");
        }
    }

    here.onPanelUpdate(explain);
    here.onPanelUpdate(reach);
    // A label says by its class alone that it is unfolded.
    onUiLoaded(() => here.panels().forEach(panel => panel.addEventListener("click", () => setTimeout(reach, 0, panel))));
})();
