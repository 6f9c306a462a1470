"""What a user may say about a unit, and the sentence for what is not allowed."""

from __future__ import annotations

import dataclasses
import io
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Field, Type

PICTURE = Image.new("RGB", (4, 4))


def test_fields_are_the_attributes_of_a_unit_with_the_same_defaults() -> None:
    attributes = {f.name: f.default for f in dataclasses.fields(Unit)}
    assert {f.name: f.default for f in FIELDS} == attributes
    assert Unit.parse({}) == Unit()


def test_every_field_says_what_it_is_in_a_sentence() -> None:
    assert all(field.label and field.about.endswith(".") for field in FIELDS)
    numbers = [field for field in FIELDS if field.type is Type.NUMBER]
    assert all(field.minimum <= field.default <= field.maximum and field.step > 0 for field in numbers)
    assert all(isinstance(field.default, float) for field in numbers)
    choices = [field for field in FIELDS if field.type is Type.CHOICE]
    assert all(field.default in field.choices for field in choices)


def test_what_is_given_is_taken_and_the_rest_is_default() -> None:
    unit = Unit.parse({"image": PICTURE, "model": "ip", "scale": 0.25})
    assert unit == Unit(enabled=True, image=PICTURE, model="ip", scale=0.25, start=0.0, end=1.0)


@pytest.mark.parametrize("value", ["0.25", " 0.25 ", 0.25, "2.5e-1"])
def test_a_number_may_come_as_a_string(value: object) -> None:
    assert Unit.parse({"scale": value}).scale == 0.25


@pytest.mark.parametrize(("value", "wanted"), [(True, True), ("false", False), ("True", True), (0, False), ("1", True)])
def test_a_switch_may_come_as_a_word_or_a_number(value: object, wanted: bool) -> None:
    assert Unit.parse({"enabled": value}).enabled is wanted


@pytest.mark.parametrize("value", [None, "", "None"])
def test_no_model_has_three_spellings(value: object) -> None:
    assert Unit.parse({"model": value}).model is None


INTEGERS = [field.name for field in FIELDS if field.type is Type.INTEGER]
COLOURS = [field.name for field in FIELDS if field.type is Type.COLOUR]
CHOICES = [field.name for field in FIELDS if field.type is Type.CHOICE]
NUMBERS = [field.name for field in FIELDS if field.type is Type.NUMBER]
NO_NUMBERS = ["x", "", "0,5", [], {}, True, "nan", "inf", float("nan"), float("inf"), -1, 999, 10**400]
BAD = [
    *itertools.product(NUMBERS, NO_NUMBERS),
    *itertools.product(INTEGERS, [*NO_NUMBERS, 0.5, "1.5"]),
    *(("face_index", 16), ("batch_start", 800)),
    *itertools.product(COLOURS, ["x", "", None, 3, [], "#12", "rgb(256, 0, 0)", "rgb(nan, 0, 0)", "0" * 99, True]),
    *itertools.product(CHOICES, ["x", "", None, 3, [], {}, True]),
    *itertools.product(["face"], [3, [], {}, True, [0.0] * 512, [1.0] * 511, [["a"] * 512], "x" * 300, "AAAA" * 800]),
    *itertools.product(["images"], ["path.png", b"bytes", 3, {}, ["path.png"], [3], [PICTURE] * 65]),
    *itertools.product(["weights"], ["a", "1 b", "4", "-2", "1 nan", [True], 3, {}, [1] * 66]),
    *itertools.product(["embeds"], [3, [], {}, True, "x!" * 200]),
    *itertools.product(["curve", "layers", "grid"], ["x", True, object(), [None], {"0": None}, "0:", "[1", "9", ";"]),
    *itertools.product(["composition_image"], ["path.png", 3]),
    *itertools.product(["enabled"], ["maybe", 2, [], {}]),
    *itertools.product(["model"], [3, [], {}, True]),
    *itertools.product(["image", "negative_image"], ["path.png", b"bytes", 3, [], {}]),
]


@pytest.mark.parametrize(("name", "value"), BAD, ids=lambda value: repr(value)[:20])
def test_a_wrong_value_is_one_short_sentence_that_names_the_field(name: str, value: Any) -> None:
    label = next(field.label for field in FIELDS if field.name == name).lower()
    with pytest.raises(UnitError, match=rf"^IP-Adapter: (the )?({name}|{label}) ") as refusal:
        Unit.parse({name: value})
    assert "\n" not in str(refusal.value)
    words = next(field.choices for field in FIELDS if field.name == name)
    assert len(str(refusal.value)) < 200 + len(", ".join(words))


@pytest.mark.parametrize("value", [2, 2.0, "2", " 2.0 "])
def test_a_whole_number_may_come_in_other_forms(value: object) -> None:
    index = Unit.parse({"face_index": value}).face_index
    assert (index, type(index)) == (2, int)


def test_a_choice_may_be_written_in_any_case() -> None:
    assert Unit.parse({"face_combine": " Concat "}).face_combine == "concat"
    assert Unit.parse({"kind": "FaceID-PlusV2"}).choice is Kind.FACEID_PLUS_V2
    assert Unit().choice is None
    assert Unit.parse({"embeds_scaling": "k+mean(v) W/ c PENALTY"}).embeds_scaling == "K+mean(V) w/ C penalty"


CHANGED = {
    "enabled": False, "image": PICTURE, "model": "m", "scale": 0.5, "start": 0.1, "end": 0.9, "encoder": "vit-h",
    "images": [PICTURE], "combine": "add", "weights": "0.5", "batch_start": 1,
    "crop": "pad", "background": "black", "sharpening": 0.5, "image_mask": PICTURE,
    "mask": PICTURE, "region": "outside the mask", "mask_blur": 3.0,
    "weight_type": "composition", "composition_scale": 0.5, "composition_image": PICTURE,
    "layers": "0:1", "curve": "0.5", "grid": "1; 0.5", "embeds_scaling": "k+v",
    "passes": "hires", "detailer": "never", "reference": "input", "reference_folder": "cats",
    "negative_image": PICTURE, "noise": 0.5, "noise_kind": "shuffle", "embeds": "dusk",
    "face": "ada", "face_index": 1, "face_combine": "concat", "shortcut_scale": 0.5, "lora_scale": 0.5, "kind": "plus",
}  # fmt: skip
"""Every field with a value that is not its default."""


@pytest.mark.parametrize("name", [field.name for field in FIELDS])
def test_each_field_that_acts_has_a_say_in_the_order(name: str) -> None:
    changed = Unit.parse({name: CHANGED[name]})
    # A unit that is off is not summed at all, and of a folder's picture the content has its say.
    assert (changed.order != Unit().order) is (name not in ("enabled", "reference_folder"))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_what_acts_late_alone_leaves_keys_and_values_as_they_are(field: Field) -> None:
    changed = Unit.parse({field.name: CHANGED[field.name]})
    assert (changed.shown == Unit().shown) is field.late


@pytest.mark.parametrize("value", ["1 0.5", "1,0.5", [1, "0.5"], " 1.0 ; 5e-1 "])
def test_weights_may_come_in_many_forms_and_those_not_named_are_one(value: object) -> None:
    unit = Unit.parse({"weights": value})
    assert unit.weights == "1 0.5"
    assert [unit.weight(number) for number in range(3)] == [1.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "value",
    ["red", " Red ", "#f00", "#FF0000", "rgb(255, 0, 0)", "rgba(254.7, 0.2, 0, 1)", "hsl(0, 100%, 50%)", "#f00f"],
)
def test_a_colour_may_come_as_a_name_or_in_numbers(value: str) -> None:
    unit = Unit.parse({"background": value})
    assert unit.background == "#ff0000"
    assert unit.look.background == (255, 0, 0)


def test_transparency_survives_until_the_background_is_known() -> None:
    half = Image.new("RGBA", (4, 4), (0, 0, 0, 128))
    unit = Unit.parse({"image": half})
    assert unit.image is not None
    assert unit.image.tobytes() == half.tobytes()
    assert Unit.parse({"image": half, "background": "red"}).shown != unit.shown


def test_an_unknown_field_is_named_with_those_that_there_are() -> None:
    with pytest.raises(UnitError, match=r"no field 'weight'; the fields are enabled, image, model, scale"):
        Unit.parse({"weight": 1})


def test_of_a_misspelt_field_the_nearest_is_named() -> None:
    with pytest.raises(UnitError, match=r"; the nearest is weight_type\.$"):
        Unit.parse({"wieght_typ": "linear"})


def cut_short(form: str) -> Image.Image:
    file = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(file, form)
    return Image.open(io.BytesIO(file.getvalue()[:900]))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_picture_that_is_cut_short_is_a_sentence_and_not_found_out_later(form: str) -> None:
    image = cut_short(form)
    with pytest.raises(UnitError, match=r"the reference picture cannot be read .*; save it as PNG"):
        Unit.parse({"image": image})


@given(
    st.dictionaries(
        st.sampled_from([field.name for field in FIELDS]) | st.text(max_size=3),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.none()),
    )
)
def test_whatever_comes_is_a_unit_or_a_sentence(values: dict[str, Any]) -> None:
    try:
        unit = Unit.parse(values)
    except UnitError as refusal:
        assert str(refusal).endswith(".")  # noqa: PT017 - either outcome is right
    else:
        assert 0 <= unit.scale <= 2
        assert unit.schedule.empty == (unit.start >= unit.end) or unit.curve


@pytest.mark.parametrize(
    ("values", "active"),
    [
        ({}, True),
        ({"enabled": False}, False),
        ({"scale": 0}, False),
        ({"scale": -0.0}, False),
        ({"start": 0.5, "end": 0.5}, False),
        ({"start": 0.9, "end": 0.2}, False),
        ({"start": 1.0}, False),
        ({"end": 0.0}, False),
    ],
)
def test_a_unit_is_active_when_it_can_change_the_picture(values: dict[str, Any], active: bool) -> None:
    assert Unit.parse(values).active is active


@pytest.mark.parametrize(("values", "words"), [({"model": "a"}, "reference picture"), ({"image": PICTURE}, "model")])
def test_an_active_unit_that_lacks_something_is_a_sentence(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UnitError, match=f"enabled without a {words}; .* or disable the unit"):
        Unit.parse(values).check()
    Unit.parse({"model": "a", "image": PICTURE}).check()
    for other in ({"face": "ada"}, {"images": [PICTURE]}, {"embeds": "dusk"}):
        Unit.parse({"model": "a"} | other).check()


def test_order_is_that_of_content_and_not_of_objects() -> None:
    one, same = (Unit.parse({"image": PICTURE.copy(), "model": "a"}) for _ in range(2))
    other = Unit.parse({"image": PICTURE, "model": "b"})
    assert one.order == same.order < other.order
    assert Unit().order < one.order
