"""What several pictures and a negative picture do to what is drawn, as the judge reads it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.unit import Unit
from pocket.draw import draw
from pocket.examples.pictures import PICTURES
from pocket.judge import Verdict, judge
from pocket.scenes import SIZE, Scene, Thing
from pocket.studio import Studio, unit

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of diffusers' sampler

STEPS = 8
"""Enough to see a colour and a shape by."""


def thing(shape: str, colour: str, texture: str) -> Image.Image:
    return draw(Scene((Thing(shape, colour, texture, "big", "centre"),), "white", "flat"))


RED_STAR, BLUE_RING = thing("star", "red", "plain"), thing("ring", "blue", "striped")


def drawn(studio: Studio, own: Unit, seed: int = 0) -> Verdict:
    return judge(studio.draw("", seed, own, num_inference_steps=STEPS))


def together(way: str, **values: object) -> Unit:
    return replace(unit(Kind.BASE, RED_STAR, 1.0), images=(BLUE_RING,), combine=way, **values)


@pytest.mark.parametrize("way", ["concat", "average", "norm average", "add"])
def test_of_two_references_the_one_with_the_weight_is_followed(way: str, studio: Studio) -> None:
    first, second = (drawn(studio, together(way, weights=weights), seed=1) for weights in ("1 0.1", "0.1 1"))
    assert (first.colour, first.shape) == ("red", "star")
    assert (second.colour, second.shape, second.texture) == ("blue", "ring", "striped")


def test_side_by_side_both_references_have_a_say_in_one_picture(studio: Studio) -> None:
    found = drawn(studio, together("concat"))
    assert (found.shape, found.texture) == ("star", "striped"), "the shape of one, the texture of the other"


@pytest.mark.parametrize(("way", "background"), [("max", "rose"), ("min", "cream")])
def test_the_larger_or_the_smaller_of_each_number_has_one_of_two_backgrounds(
    way: str, background: str, studio: Studio
) -> None:
    stripes, spots = (PICTURES[name]() for name in ("purple-stripes", "teal-spots"))
    own = replace(unit(Kind.BASE, stripes, 0.8), images=(spots,), combine=way)
    assert judge(studio.draw("a triangle", 4, own)).background == background


@pytest.mark.parametrize("seed", [0, 1])
def test_the_colour_of_a_negative_picture_gets_rarer(seed: int, studio: Studio) -> None:
    """Of two references, one is the negative picture as well; without any both colours come."""
    both = together("average")
    away = [drawn(studio, replace(both, negative_image=picture), seed).colour for picture in (RED_STAR, BLUE_RING)]
    assert away == ["blue", "red"]


def test_what_is_subtracted_is_led_away_from_and_the_rest_is_left(studio: Studio) -> None:
    def less(other: Image.Image) -> Verdict:
        striped_star = unit(Kind.BASE, thing("star", "red", "striped"), 1.0)
        return drawn(studio, replace(striped_star, images=(other,), combine="subtract", weights="1 0.8"))

    without_star, without_ring = less(thing("star", "red", "plain")), less(thing("ring", "red", "striped"))
    assert (without_star.shape != "star", without_star.colour) == (True, "red")
    assert without_ring.shape == "star"


def test_each_picture_of_a_batch_follows_its_own_reference(studio: Studio) -> None:
    with Generation(studio.host, [together("batch")], studio.library):
        pictures = studio.pipeline(
            prompt="", num_images_per_prompt=3, num_inference_steps=STEPS, width=SIZE, height=SIZE
        ).images
    assert [judge(picture).colour for picture in pictures] == ["red", "blue", "red"]
