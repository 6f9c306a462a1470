"""What stands in the page for each type of field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from lib_ipadapter.session.unit.field import Field, Type
from lib_ipadapter.session.unit.parsers import AUTOMATIC
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.lists import Lists
from lib_ipadapter.webui.models import NONE

TEXTS = {
    Type.CURVE: "0:1, 0.5:0.3, 1:0",
    Type.LAYERS: "0:1, 4:0.25, 5:-1",
    Type.GRID: "1 0; 0.5 1",
}
"""Types that are written, and what is shown where nothing is."""


def component(field: Field, elem_id: str, lists: Lists) -> Any:
    """The component for a field."""
    about = {"label": field.label, "elem_id": f"{elem_id}_{field.name}"}
    return COMPONENTS[field.type](field, lists, about)


def encoder_choices(lists: Lists, model: str) -> list[str]:
    """What stands in the list of encoders beside a model."""
    return [AUTOMATIC, *lists.encoders(model)]


def _slider(field: Field, about: dict[str, Any]) -> gr.Slider:
    return gr.Slider(field.minimum, field.maximum, step=field.step, value=float(field.default), **about)


def _text(field: Field, about: dict[str, Any]) -> gr.Textbox:
    return gr.Textbox(value=field.default, max_lines=1, placeholder=TEXTS[field.type], **about)


def _picture(field: Field, about: dict[str, Any]) -> gr.Image:
    """The reference is what one looks at; the others are seldom there, and an empty place is only in the way."""
    return compat.picture_input(height=260 if field.name == "image" else 160, **about)


Make = Callable[[Field, Lists, "dict[str, Any]"], Any]

COMPONENTS: dict[Type, Make] = {
    # Off, though the field's default is on for the API: a unit that is enabled from the start would stop every job.
    Type.SWITCH: lambda _, __, about: gr.Checkbox(value=False, **about),
    Type.NUMBER: lambda field, _, about: _slider(field, about),
    Type.INTEGER: lambda field, _, about: _slider(field, about),
    Type.CHOICE: lambda field, _, about: gr.Dropdown(list(field.choices), value=field.default, **about),
    Type.PICTURE: lambda field, _, about: _picture(field, about),
    Type.MASK: lambda _, __, about: compat.mask_input(height=260, **about),
    Type.COLOUR: lambda field, _, about: gr.ColorPicker(value=field.default, **about),
    Type.MODEL: lambda _, lists, about: gr.Dropdown(list(lists.models()), value=NONE, **about),
    # A pasted name may be of an encoder that is not here: that is said when it is asked for.
    Type.ENCODER: lambda _, lists, about: compat.open_list(encoder_choices(lists, NONE), value=AUTOMATIC, **about),
    **dict.fromkeys(TEXTS, lambda field, _, about: _text(field, about)),
    Type.FACE: lambda _, lists, about: gr.Dropdown(list(lists.faces()), value=NONE, **about),
    Type.PICTURES: lambda _, __, about: compat.pictures_input(height=120, **about),
    Type.WEIGHTS: lambda _, __, about: gr.Textbox(value="", max_lines=1, placeholder="1 0.5", **about),
    Type.EMBEDS: lambda _, lists, about: gr.Dropdown(list(lists.prompts()), value=NONE, **about),
    # As with encoders: a folder may come to be while the page is open.
    Type.FOLDER: lambda _, lists, about: compat.open_list([NONE, *lists.folders()], value=NONE, **about),
}
