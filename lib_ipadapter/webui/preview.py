"""What the encoder will see, shown beside the reference picture."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
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
from lib_ipadapter.session.unit.passes import REPLACED
from lib_ipadapter.session.unit.seen import Seen
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.api import parse_unit
from lib_ipadapter.webui.lists import Lists

SHOWN = ("image", "images", *(field.name for field in fields_of(Seen)), "reference", "embeds", "face", "model", "kind")
"""Fields on which the view depends, in the order of `show_view`'s arguments."""

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
    itself when it changes: in gradio 3 an event of its own empties it when it is filled anew. So it does when the
    picture of a sketch is taken away.
    """
    unit = str(again.elem_id).removesuffix("_view_again")
    inputs = [components[name] for name in SHOWN]
    for component in inputs:
        if not isinstance(component, gr.File):
            compat.run_script(compat.changed(component), f"() => ipAdapter.view.ask('{unit}')")
    given = {"inputs": [note, *inputs], "outputs": [view, note], "show_progress": "hidden"}
    # A script before a function is handed the outputs' values as well.
    send = f"(...values) => (ipAdapter.view.send('{unit}'), values.slice(0, {len(given['inputs'])}))"
    shown = compat.run_script(again.click, send, fn=partial(show_view, lists.looked_at), **given)
    compat.run_script(shown.then, f"() => ipAdapter.view.end('{unit}')")


def show_view(looked_at: Callable[[Unit], str], noted: str | None, *values: Any) -> tuple[Any, str]:
    """What the encoder will see of a unit's pictures, and as HTML the first one's hash. `values`: of those in `SHOWN`.

    `looked_at`: see `Lists`; where it says something, there is no view. `noted`: what stands in the note. A paste may
    just have said there which picture is wanted; that stays until it is there.
    """
    said = {name: value for name, value in zip(SHOWN, values, strict=False) if value is not None}
    wanted = noted[noted.find(MADE_WITH) :] if noted and MADE_WITH in noted else ""
    try:
        unit = parse_unit(said, resting=True)
        instead = _instead(unit, looked_at) if unit.pictures else ""
        seen = [] if instead else [views(unit, picture, SIDE) for picture in _own(unit)[:MOST_SHOWN]]
    except UnitError as error:
        return gr.update(value=None, visible=False), html.escape(str(error))
    view = gr.update(value=laid_out(seen), visible=True) if seen else gr.update(value=None, visible=False)
    if not unit.pictures:
        return view, wanted
    known = content_hash(unit.pictures[0])[: infotext.HASH_LENGTH]
    # A saved prompt is called as its file is.
    text = html.escape(f"Picture {known}{f': {instead}' if instead else _about(unit, seen)}")
    return view, text if known in wanted or not wanted else f"{text}. {wanted}"


def _own(unit: Unit) -> Sequence[Image.Image]:
    """The unit's pictures but for those in whose place the job has others."""
    replaced = REPLACED[unit.reference]
    first = () if "image" in replaced or unit.image is None else (unit.image,)
    return (*first, *(() if "images" in replaced else unit.images))


def _instead(unit: Unit, looked_at: Callable[[Unit], str]) -> str:
    """What becomes of the unit's pictures where the encoder sees none of them as they are."""
    if unit.embeds:
        return f"not looked at, because the saved image prompt {unit.embeds.label} stands for it"
    if not _own(unit):
        return f"not looked at, because the reference is the {unit.reference}"
    return looked_at(unit)


def _about(unit: Unit, seen: Sequence[Squares]) -> str:
    """What the user should know about the pictures that are shown."""
    first, *more = unit.pictures
    if first is not _own(unit)[0]:
        return f": not looked at, because the reference is the {unit.reference}{_further(len(more))}"
    return f"{_left_out(first, unit.look.crop, len(seen[0]))}{_further(len(more))}"


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
