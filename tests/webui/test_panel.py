"""The panel, built with whichever gradio is installed."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from PIL import Image, ImageColor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session import infotext
from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.face import Face
from lib_ipadapter.session.unit.field import PICTURES, Type, fields_of
from lib_ipadapter.webui import panel, paste, saved_prompts
from lib_ipadapter.webui.controls import UnitControls
from lib_ipadapter.webui.lists import Lists
from lib_ipadapter.webui.preview import GAP, SHOWN, show_view

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


@pytest.fixture
def controls() -> list[UnitControls]:
    with gr.Blocks():
        return panel.build("txt2img", 3, LISTS, nowhere)


def restored(controls: list[UnitControls], parameters: dict[str, str], unit: int) -> dict[str, object]:
    """Field name -> what pasting `parameters` sets it to; None leaves it. Pictures are not in them, but their hash."""
    functions = dict(paste.paste_fields(controls, LISTS))
    fields = [field.name for field in FIELDS if field.type not in PICTURES]
    return {name: functions[controls[unit].fields[name]](parameters) for name in fields}


def test_the_components_come_in_the_order_of_the_fields_unit_by_unit(controls: list[UnitControls]) -> None:
    ids = [component.elem_id for component in panel.components(controls)]
    assert ids == [f"ip_adapter_txt2img_unit_{n}_{f.name}" for n in (1, 2, 3) for f in FIELDS]


def test_every_default_is_the_fields_default_but_units_start_disabled(controls: list[UnitControls]) -> None:
    values = {name: component.value for name, component in controls[0].fields.items()}
    assert values == DEFAULTS | {"enabled": False}


def test_slider_defaults_are_floats_because_the_api_casts_to_their_type(controls: list[UnitControls]) -> None:
    sliders = [c for c in panel.components(controls) if isinstance(c, gr.Slider)]
    numbers = [field for field in FIELDS if field.type in (Type.NUMBER, Type.INTEGER)]
    assert len(sliders) == 3 * len(numbers)
    assert all(type(slider.value) is float for slider in sliders)


def test_what_units_share_by_label_is_not_saved_as_a_default(controls: list[UnitControls]) -> None:
    saved = [c.elem_id for c in panel.components(controls) if not c.do_not_save_to_config]
    of_files = (Type.MODEL, Type.ENCODER, Type.FACE, Type.WEIGHTS, Type.EMBEDS, Type.FOLDER)
    names = [f.name for f in FIELDS if f.type not in of_files and f.name not in ("enabled", "kind")]
    assert saved == [f"ip_adapter_txt2img_unit_1_{name}" for name in names]


def test_one_unit_has_no_tabs() -> None:
    with gr.Blocks() as blocks:
        panel.build("img2img", 1, LISTS, nowhere)
    assert not any(isinstance(block, gr.Tabs) for block in blocks.blocks.values())


def test_a_field_that_stands_alone_costs_the_page_no_row() -> None:
    """Whatever is in the page must be drawn before it can be used, in each unit of both tabs."""
    with gr.Blocks() as page:
        panel.build("txt2img", 1, LISTS, nowhere)
    rows = [block for block in page.blocks.values() if isinstance(block, gr.Row)]
    alone = [row for row in rows if len([*_leaves(row)]) == 1]
    assert [leaf.elem_id for row in alone for leaf in _leaves(row)] == ["ip_adapter_txt2img_unit_1_images"]


def _leaves(block: Any) -> Iterator[Any]:
    for child in block.children:
        yield from _leaves(child) if hasattr(child, "children") else (child,)


def test_pasted_parameters_restore_the_unit_and_switch_off_the_others(controls: list[UnitControls]) -> None:
    unit = Unit(image=Image.new("RGB", (8, 8)), model="ip-adapter_sd15", scale=0.85, start=0.1, end=0.9)
    parameters = infotext.write([Unit(enabled=False), unit], lambda name: name)
    plain = {"enabled": True, "model": "ip-adapter_sd15", "scale": 0.85, "start": 0.1, "end": 0.9}
    assert restored(controls, parameters, 1) == plain | RARE
    others = ("model", "scale", "start", "end", *RARE)
    assert restored(controls, parameters, 0) == dict.fromkeys(others) | {"enabled": False}


def test_pasted_face_fields_are_restored_and_what_is_not_mentioned_is_reset(
    controls: list[UnitControls], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(paste.gr, "Warning", warned.append)
    wanted = {"face": "ada", "face_index": 2, "shortcut_scale": 0.5, "kind": "faceid-plus"}
    unit = Unit.parse({"model": "ip-adapter_sd15"} | wanted)
    found = restored(controls, infotext.write([unit], lambda name: name), 0)
    assert {name: found[name] for name in RARE} == RARE | wanted
    gone = restored(controls, {"IP-Adapter 1": "model: m, face: somebody"}, 0)
    assert gone["face"] == "None"
    assert ["somebody" in sentence for sentence in warned if "saved face" in sentence] == [True]


def test_pasted_weights_are_what_they_were_and_what_is_not_mentioned_is_reset(controls: list[UnitControls]) -> None:
    wanted = {"weight_type": "composition precise", "composition_scale": 0.35, "layers": "0:0.1, 5:-1"}
    wanted |= {"curve": "[0.3:0.9:0.5]", "embeds_scaling": "K+V"}
    unit = Unit.parse({"image": Image.new("RGB", (8, 8)), "model": "ip-adapter_sd15"} | wanted)
    found = restored(controls, infotext.write([unit], lambda name: name), 0)
    assert {name: found[name] for name in RARE} == RARE | wanted


def test_the_face_fields_are_folded_away_together(controls: list[UnitControls]) -> None:
    for number, unit in enumerate(controls, 1):
        for name in (field.name for field in fields_of(Face)):
            block = unit.fields[name]
            while not isinstance(block, gr.Accordion):
                block = block.parent
            assert (block.elem_id, block.open) == (f"ip_adapter_txt2img_unit_{number}_face_panel", False)


def test_a_pasted_encoder_is_the_one_that_was_asked_for(controls: list[UnitControls]) -> None:
    unit = Unit(image=Image.new("RGB", (8, 8)), model="ip-adapter_sd15", encoder="My, encoder")
    assert restored(controls, infotext.write([unit], lambda name: name), 0)["encoder"] == "My, encoder"


def test_the_note_says_which_picture_a_pasted_unit_wants(controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    unit = Unit(image=Image.new("RGB", (8, 8)), model="m")
    said = functions[controls[0].note](infotext.write([unit], lambda name: name))
    assert unit.image_hash[:12] in said


def test_the_note_says_which_other_pictures_a_pasted_unit_wants(controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    others = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    unit = Unit(images=tuple(others), negative_image=others[0], model="m")
    said = functions[controls[0].note](infotext.write([unit], lambda name: name))
    assert all(Unit(image=other).image_hash[:12] in said for other in others)
    assert "further pictures" in said
    assert "negative picture" in said


def test_pasted_fields_of_several_pictures_are_restored_and_a_prompt_that_is_gone_is_said(
    controls: list[UnitControls], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(paste.gr, "Warning", warned.append)
    wanted = {"combine": "norm average", "weights": "1 0.5", "noise": 0.5, "noise_kind": "shuffle", "embeds": "dusk"}
    found = restored(controls, infotext.write([Unit.parse({"model": "m"} | wanted)], lambda name: name), 0)
    assert {name: found[name] for name in wanted} == wanted
    assert restored(controls, {"IP-Adapter 1": "model: m, embeds: dawn"}, 0)["embeds"] == "None"
    assert any("saved image prompt 'dawn'" in sentence for sentence in warned)


def test_saving_tells_the_name_and_what_is_wrong_is_said_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(saved_prompts.gr, "Info", said.append)
    monkeypatch.setattr(saved_prompts.gr, "Warning", said.append)

    def save(name: str, values: Sequence[object]) -> list[str]:
        if not name:
            raise UnitError("without a name.")
        return ["None", name, f"{len(values)} values"]

    with gr.Blocks() as blocks:
        panel.build("txt2img", 1, dataclasses.replace(LISTS, save_prompt=save), nowhere)
    click = next(f.fn for f in functions_of(blocks) if getattr(f.fn, "__name__", "") == "click")
    values = [None] * len(FIELDS)
    assert click("dusk", *values)["choices"] == ["None", "dusk", f"{len(FIELDS)} values"]
    click("", *values)
    assert ["'dusk'" in said[0] or "dusk is saved" in said[0], said[1]] == [True, "without a name."]


def test_the_page_unloads_as_its_host_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(panel.gr, "Info", said.append)
    with gr.Blocks() as blocks:
        panel.build("txt2img", 1, LISTS, nowhere, unload=lambda: "when its turn has come")
    for function in functions_of(blocks):
        if getattr(function.fn, "__qualname__", "").startswith("build.") and not function.inputs:
            function.fn()
    assert "when its turn has come" in said


def functions_of(blocks: gr.Blocks) -> list:
    """gradio 3 has a list, today's a dictionary."""
    return list(blocks.fns.values()) if isinstance(blocks.fns, dict) else list(blocks.fns)


def test_the_note_says_which_mask_a_pasted_unit_wants(controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    unit = Unit.parse({"image": Image.new("RGB", (8, 8)), "model": "m", "mask": Image.new("L", (8, 8), 255)})
    said = functions[controls[0].note](infotext.write([unit], lambda name: name))
    assert f"mask {unit.hashes['mask'][0][:12]}" in said


def test_nobody_is_asked_for_a_picture_that_comes_from_the_job(controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    unit = Unit(image=Image.new("RGB", (8, 8)), model="m", reference="input")
    assert functions[controls[0].note](infotext.write([unit], lambda name: name)) == ""


def test_the_note_says_that_a_face_was_given_as_numbers(controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    unit = Unit.parse({"model": "m", "face": [1.0] * 512})
    assert unit.face is not None
    said = functions[controls[0].note](infotext.write([unit], lambda name: name))
    assert said == f"Made with saved face given as such {unit.face.label}: add what is missing"
    both = Unit.parse({"model": "m", "face": [1.0] * 512, "image": Image.new("RGB", (8, 8))})
    said = functions[controls[0].note](infotext.write([both], lambda name: name))
    assert [both.image_hash[:12] in said, unit.face.label in said] == [True, True]
    saved = Unit.parse({"model": "m", "face": "ada"})
    assert functions[controls[0].note](infotext.write([saved], lambda name: name)) == ""


@pytest.mark.parametrize("entry", ["image", "face_hash"])
def test_a_hostile_hash_reaches_no_page(entry: str, controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    assert functions[controls[0].note]({"IP-Adapter 1": f'{entry}: "<img src=x onerror=alert(1)>"'}) == ""


def test_the_preview_is_the_square_that_the_encoder_sees_and_the_note_says_so() -> None:
    update, note = show_view("", Image.new("RGB", (300, 200), "red"))
    assert update["value"].size == (224, 224)
    assert "square in its middle" in note
    assert "square" not in show_view("", Image.new("RGB", (300, 300)))[1]


def test_the_preview_shows_every_tile_and_what_sharpening_mask_and_background_make_of_it() -> None:
    image = Image.new("RGB", (640, 224), "red")
    mask = Image.new("L", (640, 224), 0)
    mask.paste(255, (0, 0, 640, 112))
    update, note = show_view("", image, None, "tiles", 0.0, "#0000ff", mask)
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
    update, note = show_view("", first, [png(colour, 30, 30) for colour in colours if colour != "red"])
    columns, rows = (2, 2)
    assert update["value"].size == (columns * (224 + GAP) - GAP, rows * (224 + GAP) - GAP)
    places = [(9 + (n % columns) * (224 + GAP), 9 + (n // columns) * (224 + GAP)) for n in range(len(colours))]
    assert [update["value"].getpixel(place) for place in places] == [ImageColor.getrgb(colour) for colour in colours]
    assert f"and {len(colours) - 1} further pictures" in note


def test_the_preview_shows_the_tiles_of_each_picture_in_a_row_and_the_mask_is_for_the_first() -> None:
    mask = Image.new("L", (448, 224), 255)
    mask.paste(0, (0, 0, 448, 112))
    values = ("tiles", 0.0, "#0000ff", mask)
    update, _ = show_view("", Image.new("RGB", (448, 224), "red"), [png("lime", 672, 224)], *values)
    assert update["value"].size == (3 * (224 + GAP) - GAP, 2 * (224 + GAP) - GAP)
    at = {place: update["value"].getpixel(place) for place in [(9, 9), (9, 200), (9, 249), (480, 249), (480, 9)]}
    assert list(at.values()) == [(0, 0, 255), (255, 0, 0), (0, 255, 0), (0, 255, 0), (128, 128, 128)]


def test_a_further_picture_that_cannot_be_read_is_said_beside_the_picture() -> None:
    update, note = show_view("", Image.new("RGB", (9, 9)), [b"nothing"])
    assert update["visible"] is False
    assert "images is not a picture that can be read" in note


def test_a_mask_that_hides_everything_is_said_beside_the_picture() -> None:
    update, note = show_view("", Image.new("RGB", (9, 9)), [], "center", 0.0, "#ffffff", Image.new("L", (9, 9)))
    assert update["visible"] is False
    assert "hides all of it" in note


def test_the_preview_follows_every_field_that_it_depends_on() -> None:
    with gr.Blocks() as blocks:
        panel.build("txt2img", 1, LISTS, nowhere)
    config = blocks.get_config_file()
    ids = {c["id"]: c["props"].get("elem_id") for c in config["components"]}
    view = "ip_adapter_txt2img_unit_1_view"
    changes = [d for d in config["dependencies"] if view in [ids.get(o) for o in d["outputs"]]]
    # Gradio 3 has the components, today's (component, event).
    targets = {ids[t if isinstance(t, int) else t[0]] for d in changes for t in d["targets"]}
    said = {"view_again" if name == "images" else name for name in SHOWN}  # of files the page's script says it
    assert targets == {f"ip_adapter_txt2img_unit_1_{name}" for name in said}
    inputs = [f"ip_adapter_txt2img_unit_1_{name}" for name in ("note", *SHOWN)]
    assert all([ids[i] for i in d["inputs"]] == inputs for d in changes)


def test_without_a_picture_the_preview_is_hidden() -> None:
    update, note = show_view("", None)
    assert update["visible"] is False
    assert note == ""


def test_what_a_paste_wants_stays_in_the_note_until_it_is_there() -> None:
    wanted = Image.new("RGB", (8, 8), "red")
    pasted = f"Made with reference picture {Unit(image=wanted).image_hash[:12]}: add what is missing"
    assert show_view(pasted, None)[1] == pasted
    other = show_view(pasted, Image.new("RGB", (8, 8)))[1]
    assert other.startswith("Picture ")
    assert other.endswith(f". {pasted}")
    assert show_view(other, None)[1] == pasted
    assert show_view(other, wanted)[1] == f"Picture {Unit(image=wanted).image_hash[:12]}"
    assert show_view("Picture 0123", None)[1] == ""


def test_a_picture_that_pasted_parameters_do_not_mention_is_taken_out(controls: list[UnitControls]) -> None:
    """It would act in a picture that was made without it."""
    given = Unit.parse({"image": Image.new("RGB", (8, 8)), "mask": Image.new("L", (8, 8), 255), "model": "m"})
    parameters = infotext.write([given], lambda name: name)
    fields = dict(paste.paste_fields(controls, LISTS))
    for number, unit in enumerate(controls):
        said = {f.name: fields[unit.fields[f.name]](parameters) for f in FIELDS if f.type in PICTURES}
        gone = {name for name, update in said.items() if update is not None}
        assert gone == (set(said) - {"image", "mask"} if number == 0 else set()), "a unit that rests keeps its pictures"
        assert all(said[name]["value"] is None for name in gone)


def test_pasted_parameters_that_cannot_be_taken_are_said(
    controls: list[UnitControls], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(paste.gr, "Warning", warned.append)
    text = "model: ip-adapter_sd15, scale: 99, crop: everything, module: x, image: 0123, end: 0.5"
    parameters = {"IP-Adapter 1": text, "IP-Adapter 2": "model: ip-adapter_sd15, scale: 1.5, face_hash: ab"}
    for number in (len(controls) + 1, len(controls) + 7):
        parameters[f"IP-Adapter {number}"] = "model: ip-adapter_sd15"
    for _, function in paste.paste_fields(controls, LISTS):
        function(parameters)
    assert [
        any(all(word in one for word in words) for one in warned)
        for words in (
            ("unit 1,", "crop, module, scale", "clamped"),
            (f"a unit {len(controls) + 1}, {len(controls) + 7},", "Number of units"),
        )
    ] == [True, True]
    assert len(warned) == 2


def test_both_tabs_have_every_component_under_a_name_of_their_own() -> None:
    """The WebUI makes both in one page, where a name that stands twice would move the other tab's."""
    with gr.Blocks() as blocks:
        for tab in ("txt2img", "img2img"):
            panel.build(tab, 3, LISTS, nowhere)
    ids = [block.elem_id for block in blocks.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids))
    one, other = ({i.replace(tab, "") for i in ids if tab in i} for tab in ("txt2img", "img2img"))
    assert one == other
    assert {"ip_adapter__get_start", "ip_adapter__get_cancel", "ip_adapter__unload"} <= one
