"""What pasting parameters into the panel sets, leaves and says."""

from __future__ import annotations

import pytest
from PIL import Image

from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import PICTURES
from lib_ipadapter.webui import paste
from lib_ipadapter.webui.controls import UnitControls
from lib_ipadapter.webui.preview import show_view
from tests.webui.panels import LISTS, RARE


def restored(controls: list[UnitControls], parameters: dict[str, str], unit: int) -> dict[str, object]:
    """Field name -> what pasting `parameters` sets it to; None leaves it. Pictures are not in them, but their hash."""
    functions = dict(paste.paste_fields(controls, LISTS))
    fields = [field.name for field in FIELDS if field.type not in PICTURES]
    return {name: functions[controls[unit].fields[name]](parameters) for name in fields}


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
    update, note = show_view(lambda _: "", "", Image.new("RGB", (300, 200), "red"))
    assert update["value"].size == (224, 224)
    assert "square in its middle" in note
    assert "square" not in show_view(lambda _: "", "", Image.new("RGB", (300, 300)))[1]


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
