"""A mask that is uploaded, or drawn over an upload, in whichever gradio."""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.webui import api

PICTURE = Image.new("RGB", (16, 16), "red")
UPLOADED = Image.new("RGBA", (16, 16), "white")
UPLOADED.paste((0, 0, 0, 255), (8, 0, 16, 16))


def stroke(where: tuple[int, int, int, int], mode: str) -> Image.Image:
    """As today's gradio has it, opaque on nothing; or as gradio 3 has made it, white on black."""
    clear, drawn = {"RGBA": ((0, 0, 0, 0), (9, 9, 9, 255)), "RGB": ((0, 0, 0), (255, 255, 255))}[mode]
    image = Image.new(mode, (16, 16), clear)
    image.paste(drawn, where)
    return image


ABOVE, BELOW = (0, 0, 16, 4), (0, 12, 16, 16)
NOTHING = (0, 0, 0, 0)


def gradio_3(*where: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"image": UPLOADED, "mask": stroke(where[0], "RGB")}


def today(*where: tuple[int, int, int, int]) -> dict[str, Any]:
    return {"background": UPLOADED, "layers": [stroke(one, "RGBA") for one in where], "composite": UPLOADED}


def page_unit(mask: Any) -> Unit:
    row = {field.name: field.default for field in FIELDS} | {"image": PICTURE, "model": "m", "mask": mask}
    (unit,) = api.parse_units(list(row.values()))
    return unit


def white(unit: Unit) -> tuple[int, int, int, int] | None:
    assert unit.mask is not None
    return unit.mask.getbbox()


@pytest.mark.parametrize("drawing", [gradio_3, today])
def test_strokes_are_the_mask(drawing: Any) -> None:
    assert white(page_unit(drawing(ABOVE))) == ABOVE


def test_strokes_of_all_layers_count() -> None:
    assert white(page_unit(today(ABOVE, BELOW))) == (0, 0, 16, 16)


@pytest.mark.parametrize("drawing", [gradio_3(NOTHING), today(NOTHING), today(), UPLOADED], ids=range(4))
def test_where_nothing_is_drawn_the_upload_is_the_mask(drawing: Any) -> None:
    assert white(page_unit(drawing)) == (0, 0, 8, 16)


@pytest.mark.parametrize("nothing", [None, {"background": None, "layers": [], "composite": None}])
def test_an_empty_canvas_is_no_mask(nothing: Any) -> None:
    assert page_unit(nothing).mask is None


def test_the_api_takes_a_mask_in_base64_and_a_unit_of_two_pictures_is_no_drawing() -> None:
    file = io.BytesIO()
    UPLOADED.save(file, "PNG")
    text = base64.b64encode(file.getvalue()).decode()
    (unit,) = api.parse_units([{"image": text, "mask": text}])
    assert unit.image is not None
    assert white(unit) == (0, 0, 8, 16)


STRANGE = {"background": None, "composite": None, "layers": "AAAA"}
"""A drawing as only an API can send it."""


@pytest.mark.parametrize("wrong", ["/etc/passwd", 3, [UPLOADED], "AAAA", STRANGE])
def test_a_wrong_mask_is_a_sentence_about_the_mask(wrong: Any) -> None:
    with pytest.raises(UnitError, match="IP-Adapter: mask "):
        api.parse_units([{"image": PICTURE, "model": "m", "mask": wrong}])
