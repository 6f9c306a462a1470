"""What each control is for, where the page's script finds it: gradio has no tooltips."""

from __future__ import annotations

import html
import json

import gradio as gr

from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.webui import compat

OTHERS = {
    "refresh": "Looks into all folders again.",
    "view": "What the encoder is given for the pictures.",
    "mask_blank": "A black canvas of the size that is set, in img2img of the picture there, to draw on in white.",
    "save_name": "What the image prompt that is saved shall be called.",
    "save": "Writes what the encoder makes of this unit's pictures, to be used without them.",
    "preset": "A unit's settings without its pictures, by a name.",
    "preset_load": "Sets this unit as the preset says.",
    "preset_save": "Keeps this unit's settings under the name that is chosen or typed.",
    "preset_delete": "Forgets the preset that is chosen.",
    "get_file": "Which published file is wanted; below it stands what it is for, and where it will be put.",
    "get_start": "Downloads the file that is chosen, and its image encoder where that is missing.",
    "get_cancel": "Stops the download; the next one goes on with what has arrived.",
    "clear_cache": "Deletes encoded pictures from the disk; each is encoded anew when it is used again.",
    "unload": "Frees the memory of adapters and encoders; the next picture reads them again.",
}
"""End of an elem_id -> what is to be said of a control that is no field."""


def build(elem_id: str) -> gr.HTML:
    """An invisible element whose attribute ``data-about`` is an object, end of an elem_id -> sentence."""
    about = {**OTHERS, **{field.name: field.about for field in FIELDS}}
    text = html.escape(json.dumps(about, ensure_ascii=False), quote=True)
    return compat.html(f'<div hidden data-about="{text}"></div>', elem_id=elem_id, elem_classes=["ip-adapter-hidden"])
