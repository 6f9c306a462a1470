// Says in the accordion's label how many units act, marks their tabs, and keeps the model list true to the checkpoint.

(function() {
    const tabs = ["txt2img", "img2img"];

    function showActive(tab) {
        const panel = gradioApp().getElementById(`ip_adapter_${tab}`);
        const label = panel?.querySelector(".label-wrap > span");
        if (!label) return;

        const units = [...panel.querySelectorAll(`[id^="ip_adapter_${tab}_unit_"][id$="_enabled"] input`)];
        const buttons = panel.querySelectorAll(".tab-nav button");
        units.forEach((input, i) => buttons[i]?.classList.toggle("ip-adapter-active", input.checked));

        const active = units.filter(input => input.checked).length;
        let badge = label.querySelector(".ip-adapter-badge");
        if (!badge) {
            badge = document.createElement("span");
            badge.className = "ip-adapter-badge";
            label.append(badge);
        }
        badge.textContent = active === 0 ? "" : units.length === 1 ? "active" : `${active} active`;
        badge.hidden = active === 0;
    }

    window.ipAdapterShowActive = function() {
        // The checkbox changes after the event that announces it.
        setTimeout(() => tabs.forEach(showActive));
    };

    const refreshModels = window.ipAdapterRefreshModels = function() {
        gradioApp().querySelectorAll('[id^="ip_adapter_"][id$="_refresh"]').forEach(button => button.click());
    };

    let checkpoint;
    onOptionsChanged(function() {
        const loaded = opts.sd_checkpoint_hash;
        if (checkpoint !== undefined && checkpoint !== loaded) refreshModels();
        checkpoint = loaded;
    });

    onUiLoaded(function() {
        for (const tab of tabs) {
            const label = gradioApp().querySelector(`#ip_adapter_${tab} .label-wrap`);
            label?.addEventListener("click", refreshModels, {once: true});
        }
        window.ipAdapterShowActive();
    });
})();
