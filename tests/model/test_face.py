"""The right face of a picture, aligned as the adapters were trained."""

from __future__ import annotations

import cmath

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageColor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face import TEMPLATE, FoundFaces, aligned_crop, features, normed, similarity
from tests.model.faces import COLOURS, FakeAnalyser, face, portrait


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rotation, scale and shift by least squares with a singular value decomposition: the paper's own form, [2, 3]."""
    apart, other = source - source.mean(0), target - target.mean(0)
    u, lengths, v = np.linalg.svd(other.T @ apart / len(source))
    signs = np.diag([1.0, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ signs @ v
    scale = (lengths * np.diag(signs)).sum() / apart.var(0).sum()
    return np.column_stack([scale * rotation, target.mean(0) - scale * rotation @ source.mean(0)])


POINT = st.tuples(st.floats(-300, 300), st.floats(-300, 300))


@given(st.lists(POINT, min_size=5, max_size=5))
def test_the_transform_is_umeyamas(points: list[tuple[float, float]]) -> None:
    target = np.array(points)
    factor, shift = similarity([complex(*p) for p in TEMPLATE], [complex(*p) for p in points])
    wanted = umeyama(np.array(TEMPLATE), target)
    if np.linalg.norm(wanted[:, :2]) < 1e-6:
        return  # all points in one place: no rotation is better than another
    found = np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])
    centred = found[:, :2] @ np.array(TEMPLATE).T + found[:, 2:] - target.T
    best = wanted[:, :2] @ np.array(TEMPLATE).T + wanted[:, 2:] - target.T
    np.testing.assert_allclose((centred**2).sum(), (best**2).sum(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("turn", [0.0, 0.4, -1.2, 3.0])
@pytest.mark.parametrize("scale", [0.8, 1.0, 1.7])
def test_landmarks_land_on_the_template_within_a_pixel(turn: float, scale: float) -> None:
    one = face(left=220, top=160, scale=scale, turn=cmath.exp(1j * turn))
    crop = np.asarray(aligned_crop(portrait(one, size=(500, 400)), one.landmarks), dtype=int)
    assert crop.shape == (224, 224, 3)
    for (x, y), colour in zip(TEMPLATE, COLOURS, strict=True):
        rows, columns = np.nonzero((abs(crop - np.array(ImageColor.getrgb(colour))) < 60).all(-1))
        assert abs(columns.mean() - 2 * x) < 1
        assert abs(rows.mean() - 2 * y) < 1


def test_landmarks_that_fit_no_turn_are_taken_onto_the_template_as_insightface_does() -> None:
    """Of a face from the side; the other way round it would be 1.16 times as large."""
    landmarks = np.array(TEMPLATE) * [0.4, 1.0] * 3 + [180, 120]
    across, down = np.meshgrid(np.arange(500.0), np.arange(500.0))
    ramp = np.stack([across / 2, down / 2, np.zeros_like(across)], axis=-1).round().astype(np.uint8)
    crop = np.asarray(aligned_crop(Image.fromarray(ramp), [(x, y) for x, y in landmarks]), dtype=float)[..., :2] * 2
    onto = umeyama(landmarks, 2 * np.array(TEMPLATE))
    places = np.stack(np.meshgrid(np.arange(40.0, 200, 20), np.arange(40.0, 200, 20)), axis=-1).reshape(-1, 2)
    wanted = np.linalg.solve(onto[:, :2], (places - onto[:, 2]).T).T
    found = crop[places[:, 1].astype(int), places[:, 0].astype(int)]
    assert abs(found - wanted).max() < 3


def test_a_face_that_lies_on_the_template_is_cut_out_without_a_change() -> None:
    """No half pixel is lost between counting from corners and from centres."""
    noise = np.random.default_rng(0).integers(0, 255, (260, 260, 3), dtype=np.uint8)
    landmarks = [(2 * x + 10, 2 * y + 20) for x, y in TEMPLATE]
    crop = np.asarray(aligned_crop(Image.fromarray(noise), landmarks), dtype=int)
    assert abs(crop - noise[20:244, 10:234]).max() <= 1


def test_what_is_outside_the_picture_is_black() -> None:
    one = face(left=-60, top=-60)
    crop = aligned_crop(Image.new("RGB", (300, 300), "white"), one.landmarks)
    assert crop.getpixel((2, 2)) == (0, 0, 0)
    assert crop.getpixel((221, 221)) == (255, 255, 255)


def test_the_largest_face_comes_first_whatever_the_order_they_are_found_in() -> None:
    small, large, middle = face(1, scale=0.5), face(2, scale=2.0), face(3, scale=1.0)
    found = FoundFaces.of(portrait(), FakeAnalyser([small, large, middle]))
    assert [found.chosen(index) for index in range(3)] == [large, middle, small]


def test_no_face_and_too_few_are_sentences() -> None:
    with pytest.raises(UnitError, match=r"No face was found in the reference picture; .*\.$"):
        FoundFaces(()).chosen(0)
    with pytest.raises(UnitError, match=r"face_index is 1, but .* one face only; choose 0\.$"):
        FoundFaces((face(),)).chosen(1)
    with pytest.raises(UnitError, match=r"face_index is 5, but .* 2 of them; choose 0, the largest, to 1\.$"):
        FoundFaces((face(), face())).chosen(5)


def test_also_that_there_is_no_face_takes_room() -> None:
    assert 0 < FoundFaces(()).nbytes < FoundFaces((face(),)).nbytes


def test_an_embedding_is_given_as_it_came_and_at_length_one() -> None:
    one = face(7)
    found = features(portrait(one), one)
    assert torch.equal(found.raw, torch.tensor([one.embedding]))
    torch.testing.assert_close(normed(found.raw).norm(dim=-1), torch.ones(1))
    torch.testing.assert_close(normed(found.raw) * found.raw.norm(), found.raw)
    assert found.crop.size == (224, 224)


def test_the_analyser_gets_rgb_whatever_the_picture_is() -> None:
    analyser = FakeAnalyser([])
    FoundFaces.of(Image.new("LA", (9, 9)), analyser)
    assert analyser.asked[0].mode == "RGB"
