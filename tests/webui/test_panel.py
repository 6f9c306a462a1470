"""The panel, built with whichever gradio is installed."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from PIL import Image

from lib_ipadapter.session import infotext
from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.webui import panel, paste
from lib_ipadapter.webui.controls import Lists, UnitControls, show_view

RARE = {
    "face": "None",
    "face_index": 0,
    "face_combine": "average",
    "shortcut_scale": 1.0,
    "lora_scale": 1.0,
    "kind": "auto",
}
"""What only FaceID files know, at its defaults."""

LIST = ["None", "ip-adapter_sd15", "ip-adapter_sdxl [does not fit: it is for SDXL, the checkpoint is SD1.5]"]


def faces() -> list[str]:
    return ["None", "ada", "me"]


def known(name: str) -> str | None:
    return name if name in LIST else None


LISTS = Lists(models=lambda: LIST, resolve=known, faces=faces)


def nowhere(_: Shelf) -> list[Path]:
    return [Path("nowhere")]


@pytest.fixture
def controls() -> list[UnitControls]:
    with gr.Blocks():
        return panel.build("txt2img", 3, LISTS, nowhere)


def restored(controls: list[UnitControls], parameters: dict[str, str], unit: int) -> dict[str, object]:
    """Field name -> what pasting `parameters` sets it to; None leaves it."""
    functions = dict(paste.paste_fields(controls, LISTS))
    return {name: functions[c](parameters) for name, c in controls[unit].fields.items() if c in functions}


def test_the_components_come_in_the_order_of_the_fields_unit_by_unit(controls: list[UnitControls]) -> None:
    ids = [component.elem_id for component in panel.components(controls)]
    assert ids == [f"ip_adapter_txt2img_unit_{n}_{f.name}" for n in (1, 2, 3) for f in FIELDS]


def test_every_default_is_the_fields_default_but_units_start_disabled(controls: list[UnitControls]) -> None:
    values = {name: component.value for name, component in controls[0].fields.items()}
    plain = {"enabled": False, "image": None, "model": "None", "scale": 0.6, "start": 0.0, "end": 1.0}
    assert values == plain | {"encoder": "Automatic"} | RARE


def test_slider_defaults_are_floats_because_the_api_casts_to_their_type(controls: list[UnitControls]) -> None:
    sliders = [c for c in panel.components(controls) if isinstance(c, gr.Slider)]
    assert len(sliders) == 3 * 6
    assert all(type(slider.value) is float for slider in sliders)


def test_what_units_share_by_label_is_not_saved_as_a_default(controls: list[UnitControls]) -> None:
    saved = [c.elem_id for c in panel.components(controls) if not c.do_not_save_to_config]
    names = ("image", "scale", "start", "end", "face_index", "face_combine", "shortcut_scale", "lora_scale")
    assert saved == [f"ip_adapter_txt2img_unit_1_{name}" for name in names]


def test_one_unit_has_no_tabs() -> None:
    with gr.Blocks() as blocks:
        panel.build("img2img", 1, LISTS, nowhere)
    assert not any(isinstance(block, gr.Tabs) for block in blocks.blocks.values())


def test_pasted_parameters_restore_the_unit_and_switch_off_the_others(controls: list[UnitControls]) -> None:
    unit = Unit(image=Image.new("RGB", (8, 8)), model="ip-adapter_sd15", scale=0.85, start=0.1, end=0.9)
    parameters = infotext.write([Unit(enabled=False), unit], lambda name: name)
    assert restored(controls, parameters, 1) == {
        "enabled": True,
        "model": "ip-adapter_sd15",
        "scale": 0.85,
        "start": 0.1,
        "end": 0.9,
        "encoder": "Automatic",
        **RARE,
    }
    others = ("model", "scale", "start", "end", "encoder", *RARE)
    assert restored(controls, parameters, 0) == dict.fromkeys(others) | {"enabled": False}


def test_pasted_face_fields_are_restored_and_what_is_not_mentioned_is_reset(
    controls: list[UnitControls], monkeypatch: pytest.MonkeyPatch
) -> None:
    warned: list[str] = []
    monkeypatch.setattr(paste.compat, "warn", warned.append)
    wanted = {"face": "ada", "face_index": 2, "shortcut_scale": 0.5, "kind": "faceid-plus"}
    unit = Unit.parse({"model": "ip-adapter_sd15"} | wanted)
    found = restored(controls, infotext.write([unit], lambda name: name), 0)
    assert {name: found[name] for name in RARE} == RARE | wanted
    gone = restored(controls, {"IP-Adapter 1": "model: m, face: somebody"}, 0)
    assert gone["face"] == "None"
    assert ["somebody" in sentence for sentence in warned if "saved face" in sentence] == [True]


def test_the_face_fields_are_folded_away_together(controls: list[UnitControls]) -> None:
    for number, unit in enumerate(controls, 1):
        for name in RARE:
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


def test_the_note_says_that_a_face_was_given_as_numbers(controls: list[UnitControls]) -> None:
    functions = dict(paste.paste_fields(controls, LISTS))
    unit = Unit.parse({"model": "m", "face": [1.0] * 512})
    assert unit.face is not None
    said = functions[controls[0].note](infotext.write([unit], lambda name: name))
    assert said == f"Made with a face given as numbers ({unit.face.label}): add it again"
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
    update, note = show_view(Image.new("RGB", (300, 200), "red"))
    assert update["value"].size == (224, 224)
    assert "square in its middle" in note
    assert "square" not in show_view(Image.new("RGB", (300, 300)))[1]


def test_without_a_picture_the_preview_is_hidden() -> None:
    update, note = show_view(None)
    assert update["visible"] is False
    assert note == ""


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
