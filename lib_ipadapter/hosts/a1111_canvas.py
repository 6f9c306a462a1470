"""Which part of the whole picture the WebUI samples. Places in comments are of its version 1.10.1, processing.py.

The whole is the picture of txt2img's first pass, and img2img's source picture: what a mask is drawn over, there as
the WebUI's own inpaint mask is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image, ImageOps

from lib_ipadapter.maths.masks import WHOLE, Box
from lib_ipadapter.model.picture import as_mask
from lib_ipadapter.session.host import Canvas

CELL = 8
"""Pixels of a latent cell's side."""

STRETCH, CROP, FILL, LATENT = range(4)
"""The WebUI's resize modes (images.py:253); it stretches in the last one too."""


def canvas_of(processing: Any, within: Sequence[Any] = ()) -> Canvas:
    """Of a processing object whose sampling begins: txt2img, its hires pass, img2img, inpainting whole or cropped.

    `within`: the jobs that it is inside of, the outermost first. A detailer works on what the job around it has
    sampled, before "only masked" puts that back into the whole (1088, 1105).
    """
    own = _canvas(processing)
    box = own.box
    for job in reversed(within):
        box = box.inside(_made(job))
    return replace(own, box=box, inpaint_box=own.box)


def _canvas(processing: Any) -> Canvas:
    width, height = getattr(processing, "width", 0), getattr(processing, "height", 0)
    box, mask = WHOLE, None
    if getattr(processing, "is_hr_pass", False):
        width, height, box = _second_pass(processing)
    elif sources := getattr(processing, "init_images", None):
        mask = _inpaint_mask(processing)
        box = _source_box(processing, sources[0].size, cropped=mask is not None and processing.inpaint_full_res)
    return Canvas(box, (height // CELL, width // CELL) if width and height else None, mask)


def _made(processing: Any) -> Box:
    """What of the whole the pictures show that a job has sampled."""
    if getattr(processing, "enable_hr", False) and hasattr(processing, "truncate_x"):
        return _second_pass(processing)[2]
    return _canvas(processing).box


def fit(part: tuple[float, float, float, float], width: int, height: int, mode: int) -> tuple[float, ...]:
    """What of a picture comes to stand on a canvas of `width` x `height`, when `part` of it is resized in `mode`.

    Parts are (left, top, width, height) in pixels; what a border is added to becomes larger than it was.
    """
    left, top, wide, high = part
    if mode not in (CROP, FILL):
        return part
    by = max(width / wide, height / high) if mode == CROP else min(width / wide, height / high)
    return (left + (wide - width / by) / 2, top + (high - height / by) / 2, width / by, height / by)


def _source_box(processing: Any, size: tuple[int, int], *, cropped: bool) -> Box:
    """With "only masked" a part of the source is cut out, and filled up to the canvas' shape (1640, 1692)."""
    part, mode = (processing.paste_to, FILL) if cropped else ((0, 0, *size), processing.resize_mode)
    left, top, wide, high = fit(part, processing.width, processing.height, mode)
    return Box(left / size[0], top / size[1], (left + wide) / size[0], (top + high) / size[1])


def _second_pass(processing: Any) -> tuple[int, int, Box]:
    """Width, height and box of the hires pass, which may cut the picture to another shape (1427)."""
    width, height = (processing.hr_upscale_to_x // CELL, processing.hr_upscale_to_y // CELL)
    x, y = processing.truncate_x, processing.truncate_y
    box = Box(x // 2 / width, y // 2 / height, 1 - (x + 1) // 2 / width, 1 - (y + 1) // 2 / height)
    return (width - x) * CELL, (height - y) * CELL, box


def _inpaint_mask(processing: Any) -> Image.Image | None:
    """As it was drawn, before the WebUI's own blur; white is what will be changed (1617)."""
    drawn = getattr(processing, "image_mask", None)
    if not isinstance(drawn, Image.Image):
        return None
    mask = as_mask(drawn)
    return ImageOps.invert(mask) if processing.inpainting_mask_invert else mask
