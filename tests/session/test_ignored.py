"""What a unit says to no effect is told, once, in one sentence that says what to do; what has an effect is not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from PIL import Image

from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.ignored import ignored
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.models import variant
from tests.session.fake_host import FakeHost, picture, unit

SECOND = picture(1)
NUMBERS = [1.0] * 512

BLACK, WHITE = (Image.new("L", (8, 8), value) for value in (0, 255))

IGNORED: dict[str, tuple[Kind, dict[str, object], str]] = {
    "a blank canvas": (Kind.BASE, {"mask": BLACK}, "mask .* black everywhere, so that the unit acts nowhere; draw on"),
    "outside of all": (Kind.BASE, {"mask": WHITE, "region": "outside the mask"}, "mask .* white everywhere"),
    "a second picture": (Kind.BASE, {"composition_image": SECOND}, "composition_image .* 'linear' takes one picture"),
    "one for precise": (
        Kind.BASE,
        {"weight_type": "composition precise", "composition_image": SECOND, "composition_scale": 0.5},
        "composition_image .* 'composition precise' takes one",
    ),
    "a second scale": (
        Kind.BASE,
        {"composition_scale": 0.5, "weight_type": "composition"},
        "composition_scale .* 'composition' has one scale; choose style and composition or",
    ),
    "a weight type": (Kind.BASE, {"layers": "4:1", "weight_type": "ease in"}, "weight_type .* is not used: layers by"),
    "all of it": (
        Kind.PLUS,
        {"layers": "4:1", "weight_type": "style and composition", "composition_image": SECOND, "composition_scale": 1},
        "weight_type and composition_scale and composition_image of the unit with m are not used: layers by hand",
    ),
    "pictures": (Kind.BASE, {"embeds": "dusk", "images": [SECOND]}, "image and images .* prompt dusk stands for"),
    "a mask": (Kind.FACEID, {"embeds": "dusk", "image": None, "image_mask": SECOND}, "image_mask .* prompt dusk"),
    "a face for the prompt": (Kind.FACEID, {"embeds": "dusk", "image": None, "face": NUMBERS}, "face .* dusk stands"),
    "a face for pictures": (Kind.BASE, {"face": NUMBERS}, "face .* a base adapter, which asks for no face"),
    "a crop of a face": (Kind.FACEID, {"crop": "tiles", "sharpening": 0.5}, "crop and sharpening .* the aligned face"),
    "a mask on a face": (Kind.FACEID_PLUS, {"image_mask": SECOND}, "image_mask .* sees the aligned face"),
    "a picture of a face": (Kind.FACEID, {"face": NUMBERS}, "image .* the ready-made face stands for"),
    "pictures beyond the faces": (
        Kind.FACEID_PLUS,
        {"face": [NUMBERS] * 2, "images": [SECOND] * 2},
        "images .* is not used beyond the first 2: face holds 2, and each takes one picture; leave the others out",
    ),
    "a negative picture": (
        Kind.BASE,
        {"weight_type": "style transfer precise", "negative_image": SECOND},
        "negative_image .* is not used in the layers that the weight type 'style transfer precise' inverts: there the",
    ),
    "faces side by side": (
        Kind.FACEID, {"combine": "add", "face_combine": "concat"}, "face_combine .* combine is 'add', which counts more"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", IGNORED)
def test_what_is_not_used_is_one_sentence_with_what_to_do(case: str) -> None:
    kind, values, words = IGNORED[case]
    (sentence,) = ignored(unit(**{"model": "m", **values}), variant(kind))
    assert re.match(f"IP-Adapter: {words}", sentence)
    assert sentence.endswith(".")
    assert sentence.count("; ") == 1
    assert "\n" not in sentence


USED: list[tuple[Kind, dict[str, object]]] = [
    (Kind.BASE, {}),
    (Kind.BASE, {"images": [SECOND], "image_mask": SECOND, "combine": "add", "weights": "1 2"}),
    (Kind.BASE, {"layers": "4:1"}),
    (Kind.BASE, {"weight_type": "strong style transfer", "negative_image": SECOND, "noise": 0.5}),
    (Kind.PLUS, {"embeds": "dusk", "image": None, "composition_image": SECOND, "weight_type": "style and composition"}),
    (Kind.FACEID, {"image": None, "face": NUMBERS, "face_combine": "concat"}),
    (Kind.FACEID, {"face_index": 1, "images": [SECOND]}),
    (Kind.FACEID_PLUS, {"face": NUMBERS}),
    (Kind.FACEID_PLUS, {"face": [NUMBERS] * 2, "images": [SECOND]}),
    *((Kind.BASE, {"weight_type": one.value, "composition_scale": 0.5}) for one in WeightType if one.two_scales),
]


@pytest.mark.parametrize(("kind", "values"), USED)
def test_nothing_is_said_of_what_has_an_effect(kind: Kind, values: dict[str, object]) -> None:
    assert ignored(unit(**values), variant(kind)) == []


def test_it_is_told_before_sampling_and_the_picture_is_as_without(host: FakeHost) -> None:
    library = Library()

    def generate(own: Unit) -> bytes:
        with Generation(host, [own], library):
            return host.run().numpy().tobytes()

    own = unit(composition_scale=0.5)
    assert generate(own) == generate(replace(own, composition_scale=0.0))
    assert (len(host.remarks), host.notices) == (1, [])


def test_of_a_unit_that_does_not_act_nothing_is_said(host: FakeHost) -> None:
    with Generation(host, [unit(composition_scale=0.5, enabled=False)]):
        assert host.remarks == []
