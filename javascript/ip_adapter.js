// What the other scripts of the panel share; what the accordion's label says; and lists true to the checkpoint.

window.ipAdapter = {
    tabs: ["txt2img", "img2img"],

    panel: tab => gradioApp().querySelector(`#ip_adapter_${tab}`),

    panels() {
        return this.tabs.map(this.panel).filter(Boolean);
    },

    // Later gradios show each tab's button once more, in a list for narrow pages.
    unitTabs: panel => [...panel.querySelectorAll(`#${panel.id}_tabs .tab-nav button, #${panel.id}_tabs [role="tab"]`)],

    // A field's element of the unit whose tab is open, also in a folded panel.
    openField(panel, name) {
        const fields = [...panel.querySelectorAll(`[id^="${panel.id}_unit_"]`)]
            .filter(field => field.id.replace(/^.*_unit_\d+_/, "") === name);
        const open = this.unitTabs(panel).findIndex(tab => tab.matches('.selected, [aria-selected="true"]'));
        return fields.find(field => field.offsetParent) ?? fields[open] ?? fields[0];
    },

    // The WebUI translates what is in the page already; this is for what scripts add.
    translated: text => window.localization?.[text] ?? text,

    unfold(accordion) {
        const label = accordion.querySelector(".label-wrap");
        if (label && !this.isOpen(label)) label.click();
    },

    isOpen: label => label.classList.contains("open"),

    looks: [],

    // Has `look` look at a panel, now and whenever elements came or went in it. The rest of the page, which the progress
    // of a job changes all the time, costs nothing.
    onPanelUpdate(look) {
        this.looks.push(look);
    },

    // To a text box, as if somebody had typed it.
    write(box, text) {
        if (box.value === text) return;
        box.value = text;
        box.dispatchEvent(new Event("input", {bubbles: true}));
    },

    // Of a weight, to either side: what the server takes in a curve and in a grid.
    limit: 5,

    // As the server reads a number; NaN for what it refuses, nothing included.
    number(text) {
        return text.trim() && Math.abs(Number(text)) <= this.limit ? Number(text) : NaN;
    },

    // While the pointer that has come with `event` is down: `move` at its moves over `place`, `end` when it is gone.
    hold(place, event, move, end) {
        const held = new AbortController();
        const listen = (name, act) => place.addEventListener(name, moved => {
            if (moved.pointerId === event.pointerId) act(moved);
        }, {signal: held.signal});
        const letGo = ended => { held.abort(); end(ended); };
        listen("pointermove", move);
        listen("pointerup", letGo);
        listen("pointercancel", letGo);
    },

    within: (number, low, high) => Math.min(Math.max(number, low), high),

    // End of an elem_id -> class of what is drawn above that text box.
    editors: {},

    editor(ending, type) {
        this.editors[ending] = type;
    },

    // An element with attributes, in SVG's namespace where `tag` begins with "svg:".
    make(tag, attributes, ...children) {
        const name = tag.replace("svg:", "");
        const element = tag === name
            ? document.createElement(name) : document.createElementNS("http://www.w3.org/2000/svg", name);
        for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
        element.append(...children);
        return element;
    },

    // A file of what a canvas shows.
    async png(canvas, name) {
        const content = await new Promise(resolve => canvas.toBlob(resolve));
        if (!content) throw new Error("The canvas is too large");
        return new File([content], name, {type: content.type});
    },
};

(function() {
    const here = window.ipAdapter;

    function showActive(panel) {
        const label = panel.querySelector(".label-wrap > span");
        if (!label) return;

        const units = [...panel.querySelectorAll(`[id^="${panel.id}_unit_"][id$="_enabled"] input`)];
        const tabs = here.unitTabs(panel);
        units.forEach((input, i) => tabs[i]?.classList.toggle("ip-adapter-active", input.checked));

        const active = units.filter(input => input.checked).length;
        let badge = label.querySelector(".ip-adapter-badge");
        if (!badge) {
            badge = here.make("span", {class: "ip-adapter-badge"});
            label.append(badge);
        }
        const count = Math.max(units.length, tabs.length) === 1 ? "" : `${active} `;
        const text = active === 0 ? "" : count + here.translated("active");
        if (badge.textContent !== text) badge.textContent = text;  // the panel is watched, and this is in it
        badge.hidden = active === 0;
    }

    here.onPanelUpdate(showActive);  // gradio 3 makes the buttons of two tabs anew when another one is chosen

    window.ipAdapterShowActive = function() {
        // The checkbox changes after the event that announces it.
        setTimeout(() => here.panels().forEach(showActive));
    };

    // The first unit's button refreshes the lists of all units.
    const refresh = panel => panel.querySelector(`#${panel.id}_unit_1_refresh`)?.click();

    window.ipAdapterRefreshModels = function() {
        here.panels().forEach(refresh);
    };

    const watched = new WeakSet();

    function watch(panel) {
        if (watched.has(panel)) return;
        watched.add(panel);
        const look = () => here.looks.forEach(one => one(panel));
        let timer;
        const later = () => { clearTimeout(timer); timer = setTimeout(look, 200); };
        new MutationObserver(later).observe(panel, {childList: true, subtree: true});
        look();
    }

    const watchAll = () => here.panels().forEach(watch);
    onUiLoaded(watchAll);
    onAfterUiUpdate(watchAll);  // a gradio that draws a panel anew has another element for it

    let checkpoint;
    onOptionsChanged(function() {
        const loaded = opts.sd_checkpoint_hash;
        if (checkpoint !== undefined && checkpoint !== loaded) window.ipAdapterRefreshModels();
        checkpoint = loaded;
    });

    onUiLoaded(function() {
        for (const panel of here.panels()) {
            panel.querySelector(".label-wrap")?.addEventListener("click", () => refresh(panel), {once: true});
        }
        // A page may be older than the checkpoint by which models are marked: the server answers when that is there.
        window.ipAdapterRefreshModels();
        window.ipAdapterShowActive();
    });
})();
