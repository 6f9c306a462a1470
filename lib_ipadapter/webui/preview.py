"""What the encoder will see, shown beside the reference picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import content_hash, decoded
from lib_ipadapter.model.views import MOST_TILES, Crop, views
from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.field import fields_of
from lib_ipadapter.session.unit.seen import Seen
from lib_ipadapter.webui.drawing import mask_of

SHOWN = ("image", *(field.name for field in fields_of(Seen)))
"""Fields on which the view depends, in the order of `show_view`'s arguments."""

GAP = 8
"""Pixels between tiles that are shown beside each other."""


def follow(components: Mapping[str, Any], view: gr.Image, note: gr.HTML) -> None:
    """Shows the view anew whenever one of a unit's `components` that it depends on has changed."""
    inputs = [components[name] for name in SHOWN]
    for component in inputs:
        component.change(fn=show_view, inputs=inputs, outputs=[view, note], show_progress="hidden")


def show_view(image: Image.Image | None, *seen: Any) -> tuple[Any, str]:
    """What the encoder will see of a picture, and the picture's hash. `seen`: values of the fields of `Seen`."""
    if image is None:
        return gr.update(value=None, visible=False), ""
    said = {name: mask_of(value) for name, value in zip(SHOWN[1:], seen, strict=False) if value is not None}
    try:
        unit = Unit.parse({"image": image, **said})
        squares = views(decoded(image), unit.look)
    except UnitError as error:
        return gr.update(value=None, visible=False), str(error)
    text = f"Picture {content_hash(image)[: infotext.HASH_LENGTH]}{_left_out(image, unit.look.crop, len(squares))}"
    return gr.update(value=strip(squares), visible=True), text


def strip(squares: list[Image.Image]) -> Image.Image:
    """Pictures of one size beside each other; one by itself as it is."""
    if len(squares) == 1:
        return squares[0]
    step = squares[0].width + GAP
    canvas = Image.new("RGB", (step * len(squares) - GAP, squares[0].height), "grey")
    for number, one in enumerate(squares):
        canvas.paste(one, (number * step, 0))
    return canvas


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
