"""What the encoder will see, shown beside the reference picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.model.views import MOST_TILES, Crop
from lib_ipadapter.session import infotext
from lib_ipadapter.session.sight import views
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.field import fields_of
from lib_ipadapter.session.unit.passes import Source
from lib_ipadapter.session.unit.seen import Seen
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.api import parse_unit
from lib_ipadapter.webui.lists import Lists

SHOWN = ("image", "images", *(field.name for field in fields_of(Seen)), "reference", "embeds", "model", "kind")
"""Fields on which the view depends, in the order of `show_view`'s arguments."""

SearchedFor = Callable[[str, str], str]
"""See `Lists.searched_for`."""

SIDE, GAP = 224, 8
"""Pixels of a square, and between squares that are shown beside each other."""

MADE_WITH = "Made with "
"""Begins the note of a paste: which pictures the parameters were made with."""

MOST_SHOWN = 25
"""Of more pictures the first are shown: each must be decoded again whenever one of them changes."""

Squares = Sequence[Image.Image]
"""In which the encoder sees one picture: one, or several tiles."""


def follow(components: Mapping[str, Any], view: gr.Image, note: gr.HTML, again: gr.Button, lists: Lists) -> None:
    """Shows the view anew whenever one of a unit's `components` that it depends on has changed.

    The page's script asks for it by `again` (javascript/ip_adapter_view.js): gradio drops what happens while a view is
    being made, and of a slider that is dragged that would be its last place. Of a field for files the script sees by
    itself when it changes: in gradio 3 an event of its own empties it when it is filled anew.
    """
    unit = str(again.elem_id).removesuffix("_view_again")
    inputs = [components[name] for name in SHOWN]
    for component in inputs:
        if not isinstance(component, gr.File):
            compat.run_script(component.change, f"() => ipAdapter.view.ask('{unit}')")
    given = {"inputs": [note, *inputs], "outputs": [view, note], "show_progress": "hidden"}
    # A script before a function is handed the outputs' values as well.
    send = f"(...values) => (ipAdapter.view.send('{unit}'), values.slice(0, {len(given['inputs'])}))"
    shown = compat.run_script(
        again.click, send, fn=lambda *said: show_view(*said, searched=lists.searched_for), **given
    )
    compat.run_script(shown.then, f"() => ipAdapter.view.end('{unit}')")


def show_view(noted: str | None, *values: Any, searched: SearchedFor = lambda *_: "") -> tuple[Any, str]:
    """What the encoder will see of a unit's pictures, and the first one's hash. `values`: of the fields in `SHOWN`.

    `noted`: what stands in the note. A paste may just have said there which picture is wanted; that stays until it is
    there. Where something else is looked at than these pictures, the note says so in place of a view.
    """
    said = {name: value for name, value in zip(SHOWN, values, strict=False) if value is not None}
    wanted = noted[noted.find(MADE_WITH) :] if noted and MADE_WITH in noted else ""
    try:
        unit = parse_unit(said, resting=True)
        other = _instead(unit, searched) if unit.pictures else ""
        seen = [] if other else [views(unit, picture, SIDE) for picture in unit.pictures[:MOST_SHOWN]]
    except UnitError as error:
        return gr.update(value=None, visible=False), str(error)
    if not seen:
        return gr.update(value=None, visible=False), " ".join(filter(None, (other, wanted)))
    first, *more = unit.pictures
    known = content_hash(first)[: infotext.HASH_LENGTH]
    text = f"Picture {known}{_left_out(first, unit.look.crop, len(seen[0]))}{_further(len(more))}"
    return gr.update(value=laid_out(seen), visible=True), text if known in wanted or not wanted else f"{text}. {wanted}"


def _instead(unit: Unit, searched: SearchedFor) -> str:
    """What is looked at in place of all that the unit's pictures show; empty where it is that."""
    if unit.embeds:
        return f"The saved image prompt {unit.embeds.label} stands for the pictures."
    if unit.reference != Source.PICTURE:
        return f"Not this picture is looked at: the reference is the {unit.reference}."
    part = searched(unit.model or "", unit.kind)
    return (
        f"Picture {content_hash(unit.pictures[0])[: infotext.HASH_LENGTH]}: {part} is all that is looked at."
        if part
        else ""
    )


def laid_out(pictures: Sequence[Squares]) -> Image.Image:
    """All squares: tiles of a picture in a row of their own, pictures of one square each as a block."""
    if max(map(len, pictures)) > 1:
        return _table(pictures)
    squares = [one for (one,) in pictures]
    columns = math.ceil(math.sqrt(len(squares)))
    return _table([squares[start : start + columns] for start in range(0, len(squares), columns)])


def _table(rows: Sequence[Squares]) -> Image.Image:
    """Squares in rows; one by itself as it is."""
    if len(rows) == len(rows[0]) == 1:
        return rows[0][0]
    step = SIDE + GAP
    canvas = Image.new("RGB", (step * max(map(len, rows)) - GAP, step * len(rows) - GAP), "grey")
    for line, row in enumerate(rows):
        for number, one in enumerate(row):
            canvas.paste(one, (number * step, line * step))
    return canvas


def _further(count: int) -> str:
    """How many pictures follow the first."""
    if count == 0:
        return ""
    shown = f"; the first {MOST_SHOWN} are shown" if count >= MOST_SHOWN else ""
    return f"; and {count} further picture{'s' if count > 1 else ''}{shown}"


def _left_out(image: Image.Image, crop: Crop, count: int) -> str:
    """What the user should know about the picture's edges."""
    ratio = max(image.size) / min(image.size)
    if ratio == 1.0:
        return ""
    if crop is Crop.CENTER:
        return ": only the square in its middle is seen"
    if crop is Crop.TOP:
        return f": only the square {'at its top' if image.height > image.width else 'in its middle'} is seen"
    if crop is Crop.TILES:
        ends = "; its ends are not" if ratio > MOST_TILES else ""
        return f": seen as {count} tile{'s' if count > 1 else ''}{ends}"
    return ""
