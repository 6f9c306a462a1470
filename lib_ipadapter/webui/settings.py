"""Settings > IP-Adapter."""

from __future__ import annotations

import gradio as gr
from modules import shared

from lib_ipadapter.hosts.a1111 import CACHE_MB, CACHE_SETTING
from lib_ipadapter.hosts.a1111_folders import REFERENCE_SETTING

SECTION = ("ip_adapter", "IP-Adapter")

UNITS = "ip_adapter_units"
UNITS_AT_FIRST = 3
GO_ON = "ip_adapter_go_on"
GO_ON_AT_FIRST = False


def register() -> None:
    """Adds the section; called by the WebUI when it builds its settings."""
    options = {
        UNITS: shared.OptionInfo(
            UNITS_AT_FIRST, "Number of units", gr.Slider, {"minimum": 1, "maximum": 10, "step": 1}, section=SECTION
        )
        .info("each makes the page a little slower to open")
        .needs_reload_ui(),
        GO_ON: shared.OptionInfo(GO_ON_AT_FIRST, "Go on without the adapter when it fails", section=SECTION).info(
            "otherwise the job stops with a message; when it goes on, the picture's parameters say so"
        ),
        CACHE_SETTING: shared.OptionInfo(
            CACHE_MB,
            "Keep encoded pictures on the disk, up to MB",
            gr.Slider,
            {"minimum": 0, "maximum": 4096, "step": 64},
            section=SECTION,
        ).info("what the image encoder made of them, never the pictures; 0 keeps none"),
        # Whoever may only call the API cannot have other folders read.
        REFERENCE_SETTING: shared.OptionInfo(
            "", "Folder of reference pictures", section=SECTION, restrict_api=True
        ).info(
            "for units whose reference is a whole folder or, in img2img's Batch tab, the picture that has the name of"
            " the file at hand, and for the axis Reference file of the X/Y/Z plot; whoever may use the API can see what"
            " comes of them"
        ),
    }
    for name, option in options.items():
        shared.opts.add_option(name, option)


def number_of_units() -> int:
    """Tabs in the panel."""
    return int(shared.opts.data.get(UNITS, UNITS_AT_FIRST))


def goes_on() -> bool:
    """Whether a failure makes a plain picture instead of none."""
    return bool(shared.opts.data.get(GO_ON, GO_ON_AT_FIRST))
