"""Noise in a negative picture: as strong as was said, of its kind, and the same every time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from lib_ipadapter.model.noise import NoiseKind, smoothed, spoilt

PICTURE = Image.merge("RGB", [Image.linear_gradient("L").resize((56, 56)).rotate(turn) for turn in (0, 90, 180)])
GREY = Image.new("RGB", (64, 64), (128, 128, 128))


def distance(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, np.float32) - np.asarray(other, np.float32)).mean())


@pytest.mark.parametrize("kind", NoiseKind)
def test_the_same_picture_is_spoilt_the_same_way_whatever_was_drawn_before(kind: NoiseKind) -> None:
    first = spoilt(PICTURE, kind, 0.5)
    state = torch.get_rng_state()
    torch.rand(3)
    torch.manual_seed(7)
    own = torch.get_rng_state()
    assert spoilt(PICTURE.copy(), kind, 0.5).tobytes() == first.tobytes()
    assert torch.equal(torch.get_rng_state(), own)
    torch.set_rng_state(state)


@pytest.mark.parametrize("kind", [NoiseKind.FADE, NoiseKind.DISSOLVE, NoiseKind.GAUSSIAN])
def test_without_strength_nothing_changes_and_more_changes_more(kind: NoiseKind) -> None:
    far = [distance(spoilt(PICTURE, kind, strength), PICTURE) for strength in (0.0, 0.3, 0.9)]
    assert far[0] == 0
    assert far[0] < far[1] < far[2]


def test_fade_and_dissolve_at_full_strength_have_nothing_of_the_picture() -> None:
    other = PICTURE.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    for kind in (NoiseKind.FADE, NoiseKind.DISSOLVE):
        found = spoilt(other, kind, 1.0)
        assert abs(distance(found, other) - distance(found, PICTURE)) < 4
        assert 120 < np.asarray(found).mean() < 135


def test_dissolve_leaves_the_share_of_values_that_it_should() -> None:
    kept = np.asarray(spoilt(PICTURE, NoiseKind.DISSOLVE, 0.25)) == np.asarray(PICTURE)
    assert 0.72 < kept.mean() < 0.78


def test_gaussian_noise_has_the_strength_as_its_spread() -> None:
    found = np.asarray(spoilt(GREY, NoiseKind.GAUSSIAN, 0.1), np.float32) / 255
    assert 0.095 < found.std() < 0.105


def test_shuffle_keeps_the_palette_and_not_the_place() -> None:
    half = Image.new("RGB", (56, 56), "red")
    half.paste("blue", (0, 0, 56, 28))
    found = np.asarray(spoilt(half, NoiseKind.SHUFFLE, 0.05), np.float32)
    red, blue = found[:20, :, 0].mean(), found[:20, :, 2].mean()
    assert red > 150, "upside down"
    assert blue < 90
    assert np.abs(found[..., 1]).mean() < 30, "nothing green"


def test_a_blur_keeps_the_mean_and_takes_the_spread() -> None:
    field = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    soft = smoothed(field, 2.0)
    assert soft.shape == field.shape
    assert float(soft.std()) < 0.3 < float(field.std())
    assert torch.equal(smoothed(field, 0.0), field)
