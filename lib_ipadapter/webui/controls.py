"""The components of one unit: one for each field, by its type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import gradio as gr

from lib_ipadapter.session.unit import FIELDS, TOPICS
from lib_ipadapter.session.unit.everyday import Everyday
from lib_ipadapter.session.unit.field import Field, Type, fields_of
from lib_ipadapter.webui import compat, preview, saved_prompts
from lib_ipadapter.webui.components import TEXTS, component
from lib_ipadapter.webui.lists import Lists

WIDE = (
    *(Type.SWITCH, Type.PICTURE, Type.PICTURES, Type.MASK, Type.MODEL, Type.ENCODER, Type.FACE, Type.EMBEDS),
    *TEXTS,
)
"""Types whose components have a row of their own; of others two share one."""

WITH_REFRESH = (Type.FACE, Type.EMBEDS)
"""Types whose folded components have a button beside them that asks for their list anew."""

SAVE = "save"
"""Beside the components of fields: what saves an image prompt."""


class PresetRow(NamedTuple):
    """The list of presets, and the buttons beside it."""

    name: gr.Dropdown
    load: gr.Button
    save: gr.Button
    delete: gr.Button


@dataclass(frozen=True)
class UnitControls:
    """What the panel has for one unit."""

    fields: dict[str, Any]
    """Field name -> component, in the order of `FIELDS`."""
    note: gr.HTML
    """Says which picture is there, whether it is looked at, or which one a pasted infotext wants."""
    save: tuple[gr.Textbox, gr.Button]
    """A name, and what saves an image prompt under it."""
    refreshes: tuple[Any, ...] = ()
    """Buttons that ask for the lists anew."""
    preset: PresetRow | None = None
    """Where there is a place for presets."""


def build_unit(elem_id: str, lists: Lists) -> UnitControls:
    """The everyday controls, and below them each other topic folded away."""
    everyday = {field.name: field for field in fields_of(Everyday)}
    found: dict[str, Any] = {}

    def add(name: str) -> Any:
        found[name] = component(everyday[name], elem_id, lists)
        return found[name]

    enabled = add("enabled")
    with gr.Row(elem_classes=["ip-adapter-pictures"]):
        add("image")
        view = gr.Image(
            label="What the encoder sees", interactive=False, visible=False, height=260, elem_id=f"{elem_id}_view"
        )
    again = gr.Button("", elem_id=f"{elem_id}_view_again", elem_classes=["ip-adapter-hidden"])
    note = compat.html(elem_id=f"{elem_id}_note", elem_classes=["ip-adapter-note"])
    with gr.Row(elem_classes=["ip-adapter-model"]):
        add("model")
        refreshes = [compat.refresh_button(elem_id=f"{elem_id}_refresh")]
    add("scale")
    with gr.Row():
        for name in ("start", "end"):
            add(name)
    with gr.Accordion(everyday["encoder"].label, open=False, elem_id=f"{elem_id}_encoder_panel"):
        add("encoder")
    for title, topic in TOPICS.items():
        if topic is not Everyday:
            found |= _folded(title, fields_of(topic), elem_id, lists, refreshes)

    preview.follow(found, view, note, again, lists)
    compat.run_script_on_change(enabled, "() => ipAdapterShowActive()")
    return UnitControls({field.name: found[field.name] for field in FIELDS}, note, found[SAVE], tuple(refreshes))


def _folded(title: str, fields: Sequence[Field], elem_id: str, lists: Lists, refreshes: list[Any]) -> dict[str, Any]:
    """One topic in an accordion of its own."""
    found: dict[str, Any] = {}
    with gr.Accordion(title, open=False, elem_id=f"{elem_id}_{fields[0].name}_panel"):
        for row in _rows(fields):
            with _row(row):
                for field in row:
                    found[field.name] = component(field, elem_id, lists)
                    if field.type in WITH_REFRESH:
                        refreshes.append(compat.refresh_button(elem_id=f"{elem_id}_{field.name}_refresh"))
        if any(field.type is Type.EMBEDS for field in fields):
            found[SAVE] = saved_prompts.build(elem_id)
    return found


def _rows(fields: Sequence[Field]) -> Iterator[list[Field]]:
    """Fields that stand beside each other."""
    row: list[Field] = []
    for field in fields:
        if row and (len(row) == 2 or field.type in WIDE or row[-1].type in WIDE):
            yield row
            row = []
        row.append(field)
    yield row


def _row(fields: Sequence[Field]) -> AbstractContextManager[Any]:
    """Each row costs the page two elements that it must draw before it can be used: a field alone needs none."""
    beside = fields[0].type in WITH_REFRESH
    if len(fields) == 1 and not beside and fields[0].type is not Type.PICTURES:
        return nullcontext()
    return gr.Row(elem_classes=["ip-adapter-model"] if beside else [])
