"""What several pictures and a negative picture do to what is drawn, as the judge reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket.draw import draw
from pocket.judge import Verdict, judge
from pocket.scenes import Scene, Thing
from pocket.studio import Studio, unit

SEEDS = range(4)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


def thing(shape: str, colour: str, texture: str) -> Image.Image:
    return draw(Scene((Thing(shape, colour, texture, "big", "centre"),), "white", "flat"))


RED_STAR, BLUE_RING = thing("star", "red", "plain"), thing("ring", "blue", "striped")


def drawn(studio: Studio, own: Unit, prompt: str = "") -> list[Verdict]:
    return [judge(studio.draw(prompt, seed, own)) for seed in SEEDS]


def together(way: str, **values: object) -> Unit:
    return replace(unit(Kind.BASE, RED_STAR, 1.0), images=(BLUE_RING,), combine=way, **values)


@pytest.mark.parametrize("way", ["concat", "average"])
def test_two_references_together_are_both_followed_and_nothing_else_is(way: str, studio: Studio) -> None:
    found = drawn(studio, together(way))
    wanted = {"colour": {"red", "blue"}, "shape": {"star", "ring"}, "texture": {"plain", "striped"}}
    follows = [getattr(one, name) in values for one in found for name, values in wanted.items()]
    assert sum(follows) >= 0.7 * len(follows), found


@pytest.mark.parametrize("way", ["concat", "average"])
def test_the_weights_decide_between_two_references(way: str, studio: Studio) -> None:
    first = [one.colour for one in drawn(studio, together(way, weights="1 0.1"))]
    second = [one.colour for one in drawn(studio, together(way, weights="0.1 1"))]
    assert (first.count("red") >= 3, second.count("blue") >= 3) == (True, True), (first, second)


def test_each_picture_of_a_batch_follows_its_own_reference(studio: Studio) -> None:
    from lib_ipadapter.session.generation import Generation

    with Generation(studio.host, [together("batch")], studio.library):
        pictures = studio._sample("", 0, {"output_type": "pil", "num_images_per_prompt": 4})
    assert [judge(picture).colour for picture in pictures] == ["red", "blue", "red", "blue"]


def test_the_colour_of_a_negative_picture_gets_rarer(studio: Studio) -> None:
    """A reference with two colours, of which one is led away from."""
    both = replace(together("average"), scale=0.7)
    counts = []
    for negative in (None, thing("square", "red", "plain"), thing("square", "blue", "plain")):
        counts.append([one.colour for one in drawn(studio, replace(both, negative_image=negative))])
    neutral, less_red, less_blue = counts
    assert less_red.count("red") <= neutral.count("red"), counts
    assert less_blue.count("blue") <= neutral.count("blue"), counts
    assert less_red.count("red") < less_blue.count("red"), counts


def test_what_is_subtracted_is_led_away_from(studio: Studio) -> None:
    two = Image.blend(RED_STAR, BLUE_RING, 0.5)
    away = [
        [one.colour for one in drawn(studio, replace(unit(Kind.BASE, two, 1.0), images=(other,), combine="subtract"))]
        for other in (RED_STAR, BLUE_RING)
    ]
    assert away[0].count("red") <= away[1].count("red"), away
    assert away[0].count("blue") >= away[1].count("blue"), away
    assert away[0] != away[1]
