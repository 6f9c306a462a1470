"""A panel of three units without a WebUI, and what there is to choose in it."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.field import PICTURES, Type
from lib_ipadapter.webui import panel
from lib_ipadapter.webui.controls import UnitControls
from lib_ipadapter.webui.lists import Lists

EMPTY = {
    **dict.fromkeys(PICTURES),
    **dict.fromkeys((Type.MODEL, Type.FACE, Type.EMBEDS, Type.FOLDER), "None"),
    Type.ENCODER: "Automatic",
}
"""What stands in a component in which nothing is chosen, by the type of its field."""


DEFAULTS = {field.name: EMPTY.get(field.type, field.default) for field in FIELDS}


RARE = {field.name: DEFAULTS[field.name] for field in FIELDS if field.rare and field.type not in PICTURES}
"""What pasting resets where it is not mentioned."""


LIST = ["None", "ip-adapter_sd15", "ip-adapter_sdxl [does not fit: it is for SDXL, the checkpoint is SD1.5]"]


def faces() -> list[str]:
    return ["None", "ada", "me"]


def known(name: str) -> str | None:
    return name if name in LIST else None


def prompts() -> list[str]:
    return ["None", "dusk"]


LISTS = Lists(models=lambda: LIST, resolve=known, faces=faces, prompts=prompts)


def nowhere(_: Shelf) -> list[Path]:
    return [Path("nowhere")]


def functions_of(blocks: gr.Blocks) -> list:
    """gradio 3 has a list, today's a dictionary."""
    return list(blocks.fns.values()) if isinstance(blocks.fns, dict) else list(blocks.fns)


def built() -> list[UnitControls]:
    with gr.Blocks():
        return panel.build("txt2img", 3, LISTS, nowhere)
