"""Scenes, their captions, and the judge that reads them."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from lib_ipadapter.training.frozen import to_pixels
from pocket.captions import NOTHING_SAID, caption, vocabulary
from pocket.draw import draw, draw_array
from pocket.judge import accuracy, judge
from pocket.questions import HELD_OUT
from pocket.scenes import COLOURS, SHAPES, SIZE, TEXTURES, Scene, Thing, sample_scene, sample_thing, with_other_shape
from pocket.studio import Studio


@given(st.integers(0, 1 << 30))
def test_any_scene_is_drawn_and_again_the_same(seed: int) -> None:
    scene = sample_scene(random.Random(seed))
    first = draw_array(scene)
    assert first.shape == (SIZE, SIZE, 3)
    assert np.array_equal(first, draw_array(sample_scene(random.Random(seed))))
    assert draw(scene).size == (SIZE, SIZE)


def test_the_judge_reads_held_out_scenes_rightly() -> None:
    lot = random.Random(HELD_OUT + 5)
    found = accuracy([sample_scene(lot) for _ in range(400)])
    assert set(found) == {"shape", "colour", "texture", "size", "place", "background"}
    assert min(found.values()) >= 0.98, found


def test_the_judge_is_not_led_astray_by_blur(studio: Studio) -> None:
    """As pictures are that a model draws: a line of ink around a plain thing is no texture."""
    lot, vae = random.Random(31), studio.pipeline.vae
    scenes = [sample_scene(lot, pair_share=0.0) for _ in range(10)]
    things = [sample_thing(lot, size="small") for _ in range(16)]
    scenes += [Scene((replace(thing, texture="plain"),), "white", "outlined") for thing in things]
    crosses = [sample_scene(lot, pair_share=0.0) for _ in range(16)]  # so narrow that the ink is near everywhere
    scenes += [inked(scene, texture) for scene in crosses for texture in ("plain", "spotted")]
    with torch.no_grad():
        decoded = vae.decode(vae.encode(torch.cat([to_pixels(draw(s)) for s in scenes])).latent_dist.mode()).sample
    pixels = ((decoded.clamp(-1, 1) + 1) * 127.5).round().permute(0, 2, 3, 1).byte().numpy()
    for radius in (0.0, 1.6):
        blurred = (Image.fromarray(one).filter(ImageFilter.GaussianBlur(radius)) for one in pixels)
        found = [judge(picture).agrees(scene) for picture, scene in zip(blurred, scenes, strict=True)]
        assert all(agrees[name] for agrees in found for name in ("shape", "texture")), radius


def inked(scene: Scene, texture: str) -> Scene:
    cross = replace(scene.things[0], shape="cross", texture=texture, size="small")
    return replace(scene, style="outlined", things=(cross,))


def test_the_judge_reads_each_half() -> None:
    left = Thing("star", "red", "striped", "small", "left")
    right = Thing("ring", "blue", "spotted", "small", "right")
    picture = draw(Scene((left, right), "mint", "flat"))
    for half, thing in (("left", left), ("right", right)):
        verdict = judge(picture, half)
        assert (verdict.shape, verdict.colour, verdict.texture) == (thing.shape, thing.colour, thing.texture)


def test_of_several_things_the_largest_is_judged() -> None:
    scene = Scene((Thing("star", "red", "striped", "small", "left"),), "mint", "flat")
    pixels = draw_array(scene)
    pixels[50:70, 80:100] = COLOURS["blue"]
    assert all(judge(pixels).agrees(scene).values())


def test_the_judge_can_say_no() -> None:
    scene = Scene((Thing("star", "red", "striped", "big", "centre"),), "mint", "flat")
    other = Scene((Thing("ring", "blue", "plain", "small", "left"),), "white", "flat")
    assert not any(judge(draw(other)).agrees(scene).values())
    empty = judge(np.full((SIZE, SIZE, 3), 248, np.uint8))
    assert (empty.shape, empty.colour, empty.texture) == (None, None, None)


@given(st.integers(0, 1 << 30))
def test_a_caption_says_nothing_that_is_not_so(seed: int) -> None:
    lot = random.Random(seed)
    scene = sample_scene(lot)
    words = set(caption(scene, lot).replace(",", " ").split())
    for name, values in (("shape", SHAPES), ("colour", tuple(COLOURS)), ("texture", TEXTURES)):
        assert words & set(values) <= {getattr(thing, name) for thing in scene.things}
    assert words <= set(vocabulary())


def test_captions_name_only_part() -> None:
    lot = random.Random(3)
    texts = [caption(sample_scene(lot), lot) for _ in range(2000)]
    named = [sum(colour in text.split() for colour in COLOURS) > 0 for text in texts]
    assert 0.3 < np.mean(named) < 0.8
    assert texts.count(NOTHING_SAID) > 20
    assert len(set(texts)) > 1000


def test_two_things_are_never_called_one() -> None:
    lot = random.Random(5)
    texts = [caption(sample_scene(lot, pair_share=1.0), lot) for _ in range(500)]
    assert all(" and a " in text or text.startswith(NOTHING_SAID) for text in texts)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_another_shape_keeps_the_look(share: float) -> None:
    lot = random.Random(1)
    for _ in range(50):
        scene = sample_scene(lot, pair_share=share)
        other = with_other_shape(scene, lot)
        assert (other.background, other.style) == (scene.background, scene.style)
        for a, b in zip(scene.things, other.things, strict=True):
            assert (a.colour, a.texture) == (b.colour, b.texture)
