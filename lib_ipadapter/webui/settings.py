"""Settings > IP-Adapter."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from modules import shared

SECTION = ("ip_adapter", "IP-Adapter")

UNITS = "ip_adapter_units"
GO_ON = "ip_adapter_go_on"
REFERENCES = "ip_adapter_reference_folder"


def register() -> None:
    """Adds the section; called by the WebUI when it builds its settings."""
    options = {
        UNITS: shared.OptionInfo(
            3, "Number of units", gr.Slider, {"minimum": 1, "maximum": 10, "step": 1}, section=SECTION
        ).needs_reload_ui(),
        GO_ON: shared.OptionInfo(False, "Go on without the adapter when it fails", section=SECTION).info(
            "otherwise the job stops with a message; when it goes on, the picture's parameters say so"
        ),
        # Whoever may only call the API cannot have other folders read.
        REFERENCES: shared.OptionInfo(
            "", "Folder of reference pictures for X/Y/Z plot", section=SECTION, restrict_api=True
        ).info("the axis Reference file takes names of pictures in there; whoever may use the API can see these"),
    }
    for name, option in options.items():
        shared.opts.add_option(name, option)


def number_of_units() -> int:
    """Tabs in the panel."""
    return int(shared.opts.data.get(UNITS, 3))


def goes_on() -> bool:
    """Whether a failure makes a plain picture instead of none."""
    return bool(shared.opts.data.get(GO_ON, False))


def reference_folder() -> Path | None:
    """Where an X/Y/Z plot finds reference pictures by name; None when the user has set none."""
    folder = str(shared.opts.data.get(REFERENCES) or "").strip()
    return Path(folder) if folder else None
