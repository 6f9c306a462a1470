"""How the reference is seen changes what is drawn: of two things the one that the mask shows is followed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image, ImageDraw

from lib_ipadapter.model.variant import Kind
from pocket.draw import draw
from pocket.judge import judge
from pocket.scenes import SIZE, Scene, Thing
from pocket.studio import Studio, unit
from tests.hosts.originals import NUMPY

pytestmark = pytest.mark.filterwarnings(NUMPY)

COLOURS = {"left": "green", "right": "purple"}
PAIR = Scene(
    tuple(Thing("circle", colour, "plain", "small", place) for place, colour in COLOURS.items()), "white", "flat"
)
SEEDS = (1, 2, 3)


def half(side: str) -> Image.Image:
    mask = Image.new("L", (SIZE, SIZE))
    ImageDraw.Draw(mask).rectangle((0, 0, SIZE // 2 - 1, SIZE) if side == "left" else (SIZE // 2, 0, SIZE, SIZE), 255)
    return mask


def followed(studio: Studio, side: str) -> list[str | None]:
    """The colour that is drawn, per seed, when the mask shows one side of the pair."""
    seen = replace(unit(Kind.BASE, draw(PAIR), 1.0), image_mask=half(side), background="#f8f8f8")
    return [judge(studio.draw("a star", seed, seen)).colour for seed in SEEDS]


@pytest.mark.parametrize("side", COLOURS)
def test_the_thing_that_the_mask_shows_is_followed_and_the_other_is_not(studio: Studio, side: str) -> None:
    assert followed(studio, side) == [COLOURS[side]] * len(SEEDS)
