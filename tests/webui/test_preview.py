"""The preview of what the encoder sees, and the note below it."""

from __future__ import annotations

import html
import io
import re
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageColor

from lib_ipadapter.session.prompts import GivenPrompt
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import compat, panel
from lib_ipadapter.webui.preview import GAP, SHOWN, show_view
from tests.webui.panels import LISTS, nowhere


def as_it_is(_: Unit) -> str:
    return ""


def test_the_preview_shows_every_tile_and_what_sharpening_mask_and_background_make_of_it() -> None:
    image = Image.new("RGB", (640, 224), "red")
    mask = Image.new("L", (640, 224), 0)
    mask.paste(255, (0, 0, 640, 112))
    update, note = show_view(as_it_is, "", image, None, "tiles", 0.0, "#0000ff", mask)
    assert update["value"].size == (3 * 224 + 2 * GAP, 224)
    assert (update["value"].getpixel((9, 9)), update["value"].getpixel((9, 200))) == ((255, 0, 0), (0, 0, 255))
    assert "3 tiles" in note


def png(colour: str, *size: int) -> bytes:
    """As the page hands over a further picture."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("first", [None, Image.new("RGB", (9, 9), "red")], ids=["no first", "a first"])
def test_the_preview_shows_every_picture(first: Image.Image | None) -> None:
    colours = [*(["red"] if first else []), "lime", "blue", "yellow"]
    update, note = show_view(as_it_is, "", first, [png(colour, 30, 30) for colour in colours if colour != "red"])
    columns, rows = (2, 2)
    assert update["value"].size == (columns * (224 + GAP) - GAP, rows * (224 + GAP) - GAP)
    places = [(9 + (n % columns) * (224 + GAP), 9 + (n // columns) * (224 + GAP)) for n in range(len(colours))]
    assert [update["value"].getpixel(place) for place in places] == [ImageColor.getrgb(colour) for colour in colours]
    assert f"and {len(colours) - 1} further pictures" in note


def test_the_preview_shows_the_tiles_of_each_picture_in_a_row_and_the_mask_is_for_the_first() -> None:
    mask = Image.new("L", (448, 224), 255)
    mask.paste(0, (0, 0, 448, 112))
    values = ("tiles", 0.0, "#0000ff", mask)
    update, _ = show_view(as_it_is, "", Image.new("RGB", (448, 224), "red"), [png("lime", 672, 224)], *values)
    assert update["value"].size == (3 * (224 + GAP) - GAP, 2 * (224 + GAP) - GAP)
    at = {place: update["value"].getpixel(place) for place in [(9, 9), (9, 200), (9, 249), (480, 249), (480, 9)]}
    assert list(at.values()) == [(0, 0, 255), (255, 0, 0), (0, 255, 0), (0, 255, 0), (128, 128, 128)]


def test_a_further_picture_that_cannot_be_read_is_said_beside_the_picture() -> None:
    update, note = show_view(as_it_is, "", Image.new("RGB", (9, 9)), [b"nothing"])
    assert update["visible"] is False
    assert "images is not a picture that can be read" in note


def test_a_mask_that_hides_everything_is_said_beside_the_picture() -> None:
    update, note = show_view(
        as_it_is, "", Image.new("RGB", (9, 9)), [], "center", 0.0, "#ffffff", Image.new("L", (9, 9))
    )
    assert update["visible"] is False
    assert "hides all of it" in note


def test_the_preview_follows_every_field_that_it_depends_on() -> None:
    with gr.Blocks() as blocks:
        panel.build("txt2img", 1, LISTS, nowhere)
    config = blocks.get_config_file()
    unit = "ip_adapter_txt2img_unit_1"
    ids = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
    # Gradio 3 has the components, today's (component, event).
    targets = {ids[t if isinstance(t, int) else t[0]] for d in asking(config) for t in d["targets"]}
    said = {f"{unit}_{name}" for name in SHOWN} - {f"{unit}_images"}  # of files the page's script sees it
    assert targets == said
    shown = [d for d in config["dependencies"] if f"{unit}_view" in [ids.get(o) for o in d["outputs"]]]
    assert [[ids[i] for i in d["inputs"]] for d in shown] == [[f"{unit}_{name}" for name in ("note", *SHOWN)]]


def test_a_sketch_of_gradio_3_is_followed_by_what_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its `change` comes whenever the page is drawn, and a script draws the page."""
    sketch, plain = (SimpleNamespace(tool=tool, change="change", edit="edit") for tool in ("sketch", "editor"))
    for is_old, events in ((True, ["edit", "change"]), (False, ["change", "change"])):
        monkeypatch.setattr(compat, "IS_OLD", is_old)
        assert [compat.changed(component) for component in (sketch, plain)] == events


def asking(config: Any) -> list[Any]:
    """Events by which the page's script is told to ask for a view."""
    return [d for d in config["dependencies"] if "view.ask" in str(d["js"])]


def test_without_a_picture_the_preview_is_hidden() -> None:
    update, note = show_view(as_it_is, "", None)
    assert update["visible"] is False
    assert note == ""


def test_what_a_paste_wants_stays_in_the_note_until_it_is_there() -> None:
    wanted = Image.new("RGB", (8, 8), "red")
    pasted = f"Made with reference picture {Unit(image=wanted).image_hash[:12]}: add what is missing"
    assert show_view(as_it_is, pasted, None)[1] == pasted
    other = show_view(as_it_is, pasted, Image.new("RGB", (8, 8)))[1]
    assert other.startswith("Picture ")
    assert other.endswith(f". {pasted}")
    assert show_view(as_it_is, other, None)[1] == pasted
    assert show_view(as_it_is, other, wanted)[1] == f"Picture {Unit(image=wanted).image_hash[:12]}"
    assert show_view(as_it_is, "Picture 0123", None)[1] == ""


def shown(unit: Unit, model_sees: str = "", noted: str = "") -> tuple[dict[str, Any], str]:
    """As the page asks for it."""
    return show_view(lambda _: model_sees, noted, *(getattr(unit, name) for name in SHOWN))


ONE, TWO = Image.new("RGB", (64, 32), "red"), Image.new("RGB", (32, 32), "blue")


@pytest.mark.parametrize(
    ("unit", "model_sees", "wanted"),
    [
        (Unit(image=ONE, reference="input"), "", r"not looked at, because the reference is the input"),
        (Unit(images=(ONE,), reference="whole folder"), "", "not looked at, because the reference is the whole folder"),
        (Unit(image=ONE, embeds=GivenPrompt("dusk")), "", "not looked at, because .* prompt dusk stands for it"),
        (Unit(image=ONE, model="faces", crop="tiles"), "only the face in it", "only the face in it"),
    ],
    ids=["input", "folder", "prompt", "face"],
)
def test_where_a_picture_is_not_looked_at_as_it_is_no_view_says_so(unit: Unit, model_sees: str, wanted: str) -> None:
    update, note = shown(unit, model_sees)
    assert (update["visible"], update["value"]) == (False, None)
    assert re.fullmatch(rf"Picture \w{{12}}: {wanted}", note)
    assert shown(unit, model_sees, f"Made with reference picture {note[8:20]}: add what is missing")[1] == note


def test_names_and_values_in_the_note_are_no_html() -> None:
    """A file may be called anything, and whoever sends a preset around calls it."""
    name = "<img src=x onerror=alert(1)>"
    _, note = shown(Unit(image=ONE, embeds=GivenPrompt(name)))
    assert "<" not in note
    assert html.unescape(note).endswith(f"prompt {name} stands for it")
    _, note = show_view(as_it_is, "", ONE, None, name)
    assert "<" not in note
    assert name in html.unescape(note)
    assert "<" not in shown(Unit(image=ONE), f"only {name} in it")[1]


def test_pictures_beside_one_that_comes_from_the_job_are_seen() -> None:
    update, note = shown(Unit(image=ONE, images=(TWO,), reference="input"))
    assert (update["visible"], update["value"].getpixel((9, 9))) == (True, (0, 0, 255))
    assert note.endswith(": not looked at, because the reference is the input; and 1 further picture")
    update, note = shown(Unit(images=(TWO,), reference="input"))
    assert (update["visible"], "not looked at" in note) == (True, False)
