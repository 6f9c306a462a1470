"""What a setting says is what is drawn: when a reference acts, in which layers, how much, and what of it is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from PIL import Image

from lib_ipadapter.model.noise import NoiseKind
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket import ship
from pocket.draw import draw
from pocket.examples.pictures import PICTURES
from pocket.judge import Verdict, judge
from pocket.scenes import BACKGROUNDS, SIZE, Scene, Thing
from pocket.studio import Studio
from tests.hosts.originals import NUMPY

pytestmark = pytest.mark.filterwarnings(NUMPY)

STEPS, SEEDS = 8, (2,)
PROMPT = "a star"
LAYERS = range(16)
STRIPES = PICTURES["purple-stripes"]()
"""A purple striped circle before cream."""


def drawn(
    studio: Studio, image: Image.Image, prompt: str = PROMPT, seeds: Sequence[int] = SEEDS, **values: Any
) -> list[Verdict]:
    """A picture for each seed, judged; without a picture none of them is purple."""
    own = Unit.parse({"image": image, "model": ship.adapter_path(Kind.BASE).stem, "scale": 1.0, **values})
    return [judge(studio.draw(prompt, seed, own, num_inference_steps=STEPS)) for seed in seeds]


def only(layers: Sequence[int], factor: float = 1.0) -> dict[str, Any]:
    return {"layers": {str(layer): factor for layer in layers}}


LOOK_KEPT: dict[str, dict[str, Any]] = {
    "all of it": {},
    "the first steps": {"end": 0.4},
    "a curve that falls": {"curve": "[1:0:0.4]"},
    "the output's layers": only(LAYERS[9:]),
    "the lower half of a grid": {"grid": [[0], [1]]},
    **{
        kind: {"weight_type": kind}
        for kind in (
            *("ease in", "ease out", "ease in-out", "reverse in-out", "weak input", "weak middle", "weak output"),
            *("style transfer", "strong style transfer", "style transfer precise", "strong style and composition"),
        )
    },
    "keys and values": {"embeds_scaling": "K+V", "scale": 0.8},
    "two pictures, of which the small model's layers do not see the second": {
        "weight_type": "style and composition",
        "composition_image": PICTURES["teal-spots"](),
    },
}

COLOUR_LOST: dict[str, dict[str, Any]] = {
    "switched off": {"enabled": False},
    "the last steps": {"start": 0.8},
    "a curve that rises": {"curve": "0:0, 0.8:0, 1:1"},
    "the last cells of a grid": {"grid": [[0, 0, 0, 0, 0], [0, 0, 0, 0, 1]]},
    "composition": {"weight_type": "composition"},
    "strong middle": {"weight_type": "strong middle"},
    "composition precise": {"weight_type": "composition precise"},
    "narrow layers count less": {"embeds_scaling": "V only w/ C penalty", "scale": 0.8},
    "keys too": {"embeds_scaling": "K+V w/ C penalty", "scale": 0.8},
    "the mean of the values": {"embeds_scaling": "K+mean(V) w/ C penalty", "scale": 0.8},
}


@pytest.mark.parametrize("values", LOOK_KEPT.values(), ids=list(LOOK_KEPT))
def test_the_text_says_the_shape_and_the_picture_the_look(studio: Studio, values: dict[str, Any]) -> None:
    for found in drawn(studio, STRIPES, **values):
        assert (found.shape, found.colour, found.texture, found.background) == ("star", "purple", "striped", "cream")


@pytest.mark.parametrize("values", COLOUR_LOST.values(), ids=list(COLOUR_LOST))
def test_where_it_does_not_act_the_colour_is_not_the_pictures(studio: Studio, values: dict[str, Any]) -> None:
    for found in drawn(studio, STRIPES, **values):
        assert found.shape == "star"
        assert found.colour != "purple"


def test_the_upper_half_of_a_grid_leaves_the_texture_to_chance(studio: Studio) -> None:
    for found in drawn(studio, STRIPES, grid=[[1], [0]]):
        assert (found.shape, found.texture != "striped") == ("star", True)


def test_negative_layers_lead_away_from_all_of_the_look(studio: Studio) -> None:
    for found in drawn(studio, STRIPES, **only(LAYERS[9:], -1.0)):
        assert (found.colour != "purple", found.texture != "striped", found.background != "cream") == (True, True, True)


@pytest.mark.parametrize("kind", [kind.value for kind in NoiseKind])
def test_noise_in_place_of_a_negative_picture_leads_away_from_the_colour_and_leaves_the_texture(
    studio: Studio, kind: str
) -> None:
    half = {"scale": 0.5}
    assert [found.colour for found in drawn(studio, STRIPES, **half)] == ["purple"] * len(SEEDS)
    for found in drawn(studio, STRIPES, **half, noise=0.5, noise_kind=kind):
        assert (found.colour != "purple", found.texture) == (True, "striped")


def with_end(*size: int) -> Image.Image:
    """A red circle at the left or upper end of a long white picture."""
    image = Image.new("RGB", size, BACKGROUNDS["white"])
    image.paste(draw(Scene((Thing("circle", "red", "plain", "big", "centre"),), "white", "flat")), (0, 0))
    return image


WIDE, TALL = with_end(3 * SIZE, SIZE), with_end(SIZE, 3 * SIZE)
SEES_THE_END = {
    "center": (False, False),
    "top": (False, True),
    "squash": (True, True),
    "pad": (True, True),
    "tiles": (True, True),
}
"""Crop -> whether it sees the left end of a wide picture, and the upper end of a tall one."""


@pytest.mark.parametrize("crop", SEES_THE_END)
def test_a_crop_sees_the_ends_or_not(studio: Studio, crop: str) -> None:
    for image, seen in zip((WIDE, TALL), SEES_THE_END[crop], strict=True):
        (found,) = drawn(studio, image, seeds=[4], crop=crop)  # where one tile of three is enough for its colour
        assert (found.colour == "red") == seen


@pytest.mark.parametrize("name", ["sky", "rose", "white"])
def test_behind_what_is_transparent_is_the_background(studio: Studio, name: str) -> None:
    colour = "#{:02x}{:02x}{:02x}".format(*BACKGROUNDS[name])
    for found in drawn(studio, PICTURES["cut-out"](), "a circle", background=colour):
        assert (found.colour, found.background) == ("red", name)
