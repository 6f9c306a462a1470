"""Generation parameters: what is written comes back, and what strangers write does no harm."""

from __future__ import annotations

import array
import base64
import random
import re
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.maths.structure import SD15
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.model.prompt_file import SavedPrompt
from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import FIELDS, Unit

PICTURE = Image.new("RGB", (8, 8), "red")


def same(name: str) -> str:
    return name


def written(unit: Unit) -> dict[str, str]:
    return infotext.write([unit], same)


NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
    lambda name: name.strip() not in ("", "None")
)
FRACTION = st.floats(0, 1)


@given(model=NAMES, scale=st.floats(0.01, 2), start=st.floats(0, 0.4), end=st.floats(0.5, 1))
def test_a_unit_that_is_written_and_read_is_the_same(model: str, scale: float, start: float, end: float) -> None:
    unit = Unit(image=PICTURE, model=model.strip(), scale=scale, start=start, end=end)
    found = infotext.read(written(unit), 1)
    assert found == {
        "enabled": True,
        "model": unit.model,
        "scale": scale,
        "start": start,
        "end": end,
        "image": unit.image_hash[: infotext.HASH_LENGTH],
    }


def test_a_plain_unit_is_written_readably() -> None:
    unit = Unit(image=PICTURE, model="ip-adapter_sd15")
    image = unit.image_hash[:12]
    assert written(unit) == {
        "IP-Adapter 1": f"model: ip-adapter_sd15, scale: 0.6, start: 0.0, end: 1.0, image: {image}"
    }


RARE = [
    ({"face_index": 3}, "face_index: 3"),
    ({"face_combine": "concat"}, "face_combine: concat"),
    ({"shortcut_scale": 0.5, "lora_scale": 0.0}, "shortcut_scale: 0.5, lora_scale: 0.0"),
    ({"kind": "faceid-plusv2"}, "kind: faceid-plusv2"),
    ({"face": "ada, 2"}, 'face: "ada, 2"'),
    ({"combine": "norm average", "weights": "1 0.5"}, "combine: norm average, weights: 1 0.5"),
    ({"noise": 0.5, "noise_kind": "shuffle"}, "noise: 0.5, noise_kind: shuffle"),
    ({"embeds": 'dusk: "red"'}, 'embeds: "dusk: \\"red\\""'),
    ({"weight_type": "ease in-out"}, "weight_type: ease in-out"),
    (
        {"weight_type": "style and composition", "composition_scale": 0.35},
        "weight_type: style and composition, composition_scale: 0.35",
    ),
    ({"layers": "0:1, 4:0.25, 5:-1"}, 'layers: "0:1, 4:0.25, 5:-1"'),
    ({"curve": "[0.3:0.9:0.5]"}, 'curve: "[0.3:0.9:0.5]"'),
    ({"grid": "1, 0; 0.1, 1"}, 'grid: "1, 0; 0.1, 1"'),
    ({"embeds_scaling": "K+mean(V) w/ C penalty"}, "embeds_scaling: K+mean(V) w/ C penalty"),
]


@pytest.mark.parametrize(("values", "text"), RARE)
def test_what_few_adapters_know_is_written_where_it_is_set_and_comes_back(values: dict[str, object], text: str) -> None:
    unit = Unit.parse({"image": PICTURE, "model": "m"} | values)
    plain = written(Unit(image=PICTURE, model="m"))["IP-Adapter 1"]
    assert written(unit) == {"IP-Adapter 1": f"{plain}, {text}"}
    found = infotext.read(written(unit), 1)
    assert {name: found[name] for name in values} == values


FACTOR = st.floats(-5, 5)


@given(
    layers=st.dictionaries(st.integers(0, 15), FACTOR.filter(bool), min_size=1),
    curve=st.lists(st.tuples(FRACTION, st.floats(0.1, 5)), min_size=1).map(sorted),
    grid=st.lists(st.lists(st.floats(0.1, 5), min_size=1, max_size=3), min_size=1, max_size=3),
)
def test_weights_by_layer_and_step_come_back_to_the_last_bit(
    layers: dict[int, float], curve: list[tuple[float, float]], grid: list[list[float]]
) -> None:
    values = {"image": PICTURE, "model": "m", "layers": layers, "curve": curve, "grid": grid}
    unit = Unit.parse(values)
    again = Unit.parse(infotext.read(written(unit), 1) | {"image": PICTURE})
    assert again == unit
    assert again.layer_scales(again.scale, SD15) == unit.layer_scales(unit.scale, SD15)
    assert again.schedule == unit.schedule


def test_of_a_second_picture_only_the_hash_is_written() -> None:
    second = Image.new("RGB", (8, 8), "blue")
    (text,) = written(Unit(image=PICTURE, model="m", composition_image=second)).values()
    assert text.endswith(f", composition_image: {Unit(image=second).image_hash[:12]}")
    assert infotext.read({"IP-Adapter 1": text}, 1)["composition_image"] == Unit(image=second).image_hash[:12]


def test_an_embedding_is_never_written_only_its_hash() -> None:
    """It tells who a person is, and parameters are published with the picture."""
    values = [random.Random(0).gauss(0, 1) for _ in range(512)]
    (text,) = written(Unit.parse({"face": values, "model": "m"})).values()
    assert len(text) < 150
    assert re.search(r", face_hash: [0-9a-f]{12}$", text)
    assert "face" not in infotext.read({"IP-Adapter 1": text}, 1)
    encoded = base64.b64encode(array.array("f", values).tobytes()).decode()
    assert "face" not in infotext.read({"IP-Adapter 1": f"face: {encoded}"}, 1)


def test_of_further_and_negative_pictures_hashes_are_written_and_come_back() -> None:
    others = [Image.new("RGB", (8, 8), colour) for colour in ("blue", "green", "black")]
    unit = Unit(image=PICTURE, model="m", images=tuple(others[:2]), negative_image=others[2])
    hashes = [Unit(image=other).image_hash[:12] for other in others]
    found = infotext.read(written(unit), 1)
    assert found["images"] == " ".join(hashes[:2])
    assert found["negative_image"] == hashes[2]
    assert parsed(found) == Unit(model="m")


def parsed(found: dict[str, object]) -> Unit:
    return Unit.parse({k: v for k, v in found.items() if k not in ("image", "images", "negative_image")})


def test_a_saved_prompt_that_came_as_content_is_written_as_a_hash() -> None:
    encoded = base64.b64encode(bytes(500)).decode()
    (text,) = written(Unit.parse({"embeds": encoded, "model": "m"})).values()
    assert re.search(r", embeds_hash: [0-9a-f]{12}$", text)
    assert "embeds" not in infotext.read({"IP-Adapter 1": f"embeds: {encoded}"}, 1)


@pytest.mark.parametrize("text", ["a" * 30_000, " " * 30_000, "a:" * 15_000, 'a:"' * 10_000])
def test_a_hostile_text_takes_no_time(text: str) -> None:
    began = time.perf_counter()
    infotext.read({"IP-Adapter 1": text}, 1)
    assert time.perf_counter() - began < 2


def test_units_keep_their_number_and_those_that_do_not_act_are_not_written() -> None:
    acting = Unit(image=PICTURE, model="m")
    units = [Unit(enabled=False), acting, Unit(image=PICTURE, model="m", scale=0.0), acting]
    assert list(infotext.write(units, same)) == ["IP-Adapter 2", "IP-Adapter 4"]


@given(st.text())
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    found = infotext.read({"IP-Adapter 1": text}, 1)
    assert found["enabled"] is True
    assert set(found) <= {field.name for field in FIELDS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scale: 99", {"scale": 2.0}),
        ("scale: -1, end: 7", {"scale": 0.0, "end": 1.0}),
        ("scale: nan", {}),
        ("face_index: 99", {"face_index": 15}),
        ("face_index: 1.5, face_combine: mean, kind: exe, face: None", {}),
        ("scale: __import__('os')", {}),
        ("background: url(x), crop: everything, sharpening: 9", {"sharpening": 1.0}),
        ("background: Navy, crop: PAD", {"background": "#000080", "crop": "pad"}),
        ('layers: "0:99", curve: "[[[[", grid: "' + "1;" * 9999 + '", weight_type: loud, embeds_scaling: ?', {}),
        ("composition_scale: 99", {"composition_scale": 2.0}),
        ("enabled: false, weight: 3, module: x", {}),
        ('model: "a, b: \\"c\\" \\ud83d\\ude00"', {"model": 'a, b: "c" 😀'}),
    ],
)
def test_foreign_values_are_clamped_or_ignored(text: str, expected: dict[str, object]) -> None:
    found = infotext.read({"IP-Adapter 1": text}, 1)
    assert {k: v for k, v in found.items() if k not in ("enabled", "image")} == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("model: a, scale: 0.5, face_index: 3, image: 0123456789ab, face_hash: 0123456789ab, embeds_hash: 0", []),
        ("model: a, scale_hash: x, image_hash: x", ["image_hash", "scale_hash"]),
        ("scale: 99, start: nan, face_index: 1.5, weight_type: loud, module: x", [
            "face_index", "module", "scale", "start", "weight_type"
        ]),
        ("scale: 1e999, enabled: true, " + "a" * 99 + ": 1", ["a" * infotext.LETTERS_SHOWN, "enabled", "scale"]),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_as_it_stands_is_named(text: str, names: list[str]) -> None:
    assert infotext.misread({"IP-Adapter 1": text}, 1) == names


def test_how_the_picture_is_seen_is_restored_but_for_the_mask_of_which_a_hash_is_written() -> None:
    mask = Image.new("L", (8, 8), 255)
    seen = {"crop": "tiles", "sharpening": 0.35, "background": "#1a2b3c"}
    text = written(Unit.parse({"image": PICTURE, "model": "m", "image_mask": mask, **seen}))
    found = infotext.read(text, 1)
    assert {name: found.get(name) for name in seen} == seen
    assert found["image_mask"] == content_hash(mask)[:12]


@pytest.mark.parametrize("parameters", [{}, {"IP-Adapter 2": "scale: 1"}, {"IP-Adapter 1": None}])
def test_a_unit_that_is_not_mentioned_reads_as_nothing(parameters: dict[str, object]) -> None:
    assert infotext.read(parameters, 1) == {}


def test_each_picture_of_a_batch_says_which_reference_it_had() -> None:
    """Made again by itself it begins with that one."""
    several = Unit.parse({"images": [PICTURE] * 3, "model": "m", "combine": "batch", "batch_start": 2})
    alone = Unit.parse({"image": PICTURE, "model": "m"})
    found = infotext.write_each([several, alone], same, 4)
    assert isinstance(found["IP-Adapter 2"], str)
    starts = [infotext.read({"IP-Adapter 1": text}, 1)["batch_start"] for text in found["IP-Adapter 1"]]
    assert starts == [2, 0, 1, 2]
    assert infotext.write_each([several], same, 1) == infotext.write([several], same)
    assert "batch_start" not in infotext.describe(alone, same)


FACE = [1.0] * 512
TURNS = [
    ({"embeds": "dusk"}, [2, 3, 4, 5]),
    ({"embeds": base64.b64encode(bytes(500)).decode()}, [2, 3, 4, 5]),
    ({"face": "friends"}, [2, 3, 4, 5]),
    ({"face": [FACE] * 3}, [2, 0, 1, 2]),
    ({"face": [FACE] * 3, "image": PICTURE}, [2, 3, 4, 5]),
    ({"reference": "whole folder"}, [2, 3, 4, 5]),
]


@pytest.mark.parametrize(("given", "starts"), TURNS)
def test_so_it_does_where_faces_or_parts_of_a_saved_prompt_take_turns(given: dict[str, object], starts: list[int]):
    """Where nobody knows yet how many there are, it is counted on, which is the same to whoever begins there."""
    unit = Unit.parse({"model": "m", "combine": "batch", "batch_start": 2} | given)
    texts = infotext.write_each([unit], same, 4)["IP-Adapter 1"]
    assert [infotext.read({"IP-Adapter 1": text}, 1)["batch_start"] for text in texts] == starts


def prompt(items: int) -> str:
    embeds = ImagePromptEmbeds(torch.zeros(items, 4, 8), torch.zeros(1, 4, 8))
    return base64.b64encode(SavedPrompt(embeds, "m", "0" * 64, "base").data()).decode()


def test_of_a_prompt_that_came_as_content_the_remainder_is_written_which_a_unit_may_begin_with() -> None:
    """Counted on, 800 is more than a unit takes, and read back it would be another part."""
    unit = Unit.parse({"model": "m", "combine": "batch", "batch_start": 799, "embeds": prompt(3), "image": PICTURE})
    texts = infotext.write_each([unit], same, 4)["IP-Adapter 1"]
    starts = [infotext.read({"IP-Adapter 1": text}, 1)["batch_start"] for text in texts]
    assert starts == [(799 + item) % 3 for item in range(4)]


@pytest.mark.parametrize("given", [{"image": PICTURE}, {"face": FACE}, {"embeds": prompt(1)}])
def test_what_is_alone_takes_no_turns(given: dict[str, object]) -> None:
    unit = Unit.parse({"model": "m", "combine": "batch"} | given)
    assert infotext.write_each([unit], same, 4) == infotext.write([unit], same)
