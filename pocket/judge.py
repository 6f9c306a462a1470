"""Reads attributes back from a picture by measuring: hue, outline and waves, no network.

It compares with the outlines and waves that scenes are drawn with, and knows nothing of the model that drew a
picture; `accuracy` says how often it is right on scenes.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocket.draw import PERIOD, draw_array, texture
from pocket.scenes import BACKGROUNDS, COLOURS, SHAPES, SIZE, TEXTURES, Scene, Thing

Floats = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]

CUT = 32
"""Pixels of the square that outlines are compared in."""
LIKE = 0.4
"""Least correlation of what is dark with a texture. Over 1400 things that the autoencoder has blurred, and a Gaussian
of up to two pixels after it, textures have at least 0.47, and what a line of ink leaves of a plain thing 0.35."""
DEEP = 7
"""Pixels from a thing's outline, line of ink and all, to where its texture is looked at; half way in, if it is thin."""


@dataclass(frozen=True)
class Verdict:
    """What is seen. None: nothing is there."""

    shape: str | None
    colour: str | None
    texture: str | None
    size: str | None
    place: str | None
    background: str

    def agrees(self, scene: Scene, index: int = 0) -> dict[str, bool]:
        """Per attribute, whether it is the scene's."""
        thing = scene.things[index]
        found = {
            name: getattr(self, name) == getattr(thing, name)
            for name in ("shape", "colour", "texture", "size", "place")
        }
        return found | {"background": self.background == scene.background}


def judge(picture: Image.Image | NDArray[np.uint8], half: str | None = None) -> Verdict:
    """Of the whole picture, or of its ``left`` or ``right`` half with its own background: the largest thing in it."""
    pixels = np.asarray(picture).astype(np.float32)
    columns = {None: slice(None), "left": slice(SIZE // 2), "right": slice(SIZE // 2, None)}[half]
    background = _background(pixels, columns)
    mask = np.zeros(pixels.shape[:2], dtype=np.bool_)
    mask[:, columns] = np.linalg.norm(pixels[:, columns] - background, axis=-1) > 48
    mask = _largest(mask)
    name = _nearest(background, BACKGROUNDS)
    if mask.sum() < 150:
        return Verdict(None, None, None, None, None, name)
    top, bottom, left, right = _bounds(mask)
    place = "left" if (left + right) / 2 < 0.4 * SIZE else "right" if (left + right) / 2 > 0.6 * SIZE else "centre"
    size = "big" if max(bottom - top, right - left) > 68 else "small"
    return Verdict(_shape(mask), _colour(pixels, mask), _texture(pixels, mask), size, place, name)


def _background(pixels: Floats, columns: slice) -> Floats:
    """The colour along the rim of these columns; of the sides, the picture's own left or, of a right half, right."""
    seen = pixels[:, columns]
    side = seen[:, -2:] if columns.start else seen[:, :2]
    rim = np.concatenate([part.reshape(-1, 3) for part in (seen[:4], seen[-4:], side)])
    return np.median(rim, axis=0)


def _nearest(colour: Floats, palette: dict[str, tuple[int, int, int]]) -> str:
    return min(palette, key=lambda name: float(np.linalg.norm(colour - np.array(palette[name]))))


def _largest(mask: Mask) -> Mask:
    """The part of it that hangs together and has the most pixels."""
    left, largest = mask, np.zeros_like(mask)
    while left.sum() > largest.sum():
        part = np.zeros_like(mask)
        part.flat[np.argmax(left)] = True
        while (grown := _grow(part) & left).sum() > part.sum():
            part = grown
        left = left & ~part
        largest = max(largest, part, key=np.sum)
    return largest


def _grow(mask: Mask) -> Mask:
    """With all neighbours."""
    wide = np.pad(mask, 1)
    tall = wide[:-2] | wide[1:-1] | wide[2:]
    return tall[:, :-2] | tall[:, 1:-1] | tall[:, 2:]


def _bounds(mask: Mask) -> tuple[int, int, int, int]:
    """Top, bottom, left and right, without what is not worth a row."""
    rows, columns = np.flatnonzero(mask.sum(1) > 1), np.flatnonzero(mask.sum(0) > 1)
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def _shape(mask: Mask) -> str:
    """The outline that covers the same."""
    cut = _cut(mask)
    return min(SHAPES, key=lambda shape: min(float(np.abs(cut - known).mean()) for known in _outlines(shape)))


def _cut(mask: Mask) -> Floats:
    """What is inside its bounds, CUT x CUT."""
    top, bottom, left, right = _bounds(mask)
    part = Image.fromarray((mask[top:bottom, left:right] * 255).astype(np.uint8))
    return np.asarray(part.resize((CUT, CUT), Image.Resampling.BOX), np.float32) / 255


@cache
def _outlines(shape: str) -> tuple[Floats, ...]:
    """How it looks in either size, with and without a line around."""
    found: list[Floats] = []
    for size in ("small", "big"):
        for style in ("flat", "outlined"):
            pixels = draw_array(Scene((Thing(shape, "blue", "plain", size, "centre"),), "white", style))
            found.append(_cut(pixels.min(axis=-1) < 200))
    return tuple(found)


def _colour(pixels: Floats, mask: Mask) -> str | None:
    """By the hue of what is coloured, each pixel counting as much as its colour is strong."""
    inside = pixels[mask]
    strength = inside.max(-1) - inside.min(-1)
    weight = np.where(strength > 40, strength, 0)
    if weight.sum() < 2000:
        return None
    hues = _hue(inside)
    near = {name: np.abs((hues - hue + 0.5) % 1 - 0.5) for name, hue in _hues().items()}
    nearest = np.argmin(np.stack(list(near.values())), axis=0)
    return list(near)[int(np.argmax(np.bincount(nearest, weight, len(near))))]


@cache
def _hues() -> dict[str, float]:
    return {name: colorsys.rgb_to_hsv(*(part / 255 for part in colour))[0] for name, colour in COLOURS.items()}


def _hue(colours: Floats) -> Floats:
    """``[n, 3]`` -> ``[n]``, 0 to 1."""
    high, low = colours.max(-1), colours.min(-1)
    red, green, blue = colours.T
    span = np.maximum(high - low, 1e-6)
    hue = np.where(
        high == red,
        (green - blue) / span % 6,
        np.where(high == green, (blue - red) / span + 2, (red - green) / span + 4),
    )
    return hue / 6


def _texture(pixels: Floats, mask: Mask) -> str | None:
    """By the waves in the brightness: one direction is stripes, both diagonals squares, both axes spots."""
    light = pixels.max(-1)
    depth = _depth(mask)
    inner = depth > min(DEEP, depth.max() / 2)
    coloured = light[inner]
    if len(coloured) < 30 or np.percentile(coloured, 92) < 1:
        return None
    bright = np.percentile(coloured, 92)
    dark = (light < 0.74 * bright) & inner
    share = dark.sum() / inner.sum()
    if share < 0.06:
        return "plain"
    likeness = _likeness(dark.astype(np.float32), inner)
    name = max(likeness, key=lambda name: likeness[name])
    return name if likeness[name] > LIKE else "plain"


def _depth(mask: Mask) -> Floats:
    """Chebyshev distance to the rim, the picture's too: in corners that point inwards a line of ink reaches as far."""
    depth = np.zeros(mask.shape, np.float32)
    while mask.any():
        depth += mask
        mask = ~_grow(~np.pad(mask, 1))[1:-1, 1:-1]
    return depth


def _likeness(dark: Floats, inner: Mask) -> dict[str, float]:
    """How well each texture explains which parts are dark: correlation at its best phase."""
    values = dark[inner] - dark[inner].mean()
    return {name: _correlation(_patterns(name)[:, inner], values) for name in TEXTURES if name != "plain"}


def _correlation(patterns: Floats, values: Floats) -> float:
    """The largest of all rows' with `values`, whose mean is 0."""
    spread = np.maximum(patterns.std(axis=1) * values.std() * len(values), 1e-6)
    return float((patterns @ values / spread).max())


@cache
def _patterns(name: str) -> Floats:
    """``[phases, SIZE, SIZE]``: where a texture is dark, moved about by two pixels at a time."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)
    steps = np.arange(0, 1.5 * PERIOD, 2, dtype=np.float32)
    moves = [(x, 0.0) for x in steps] if name == "striped" else [(x, y) for x in steps for y in steps]
    return np.stack([1 - texture(name, columns + x, rows + y) for x, y in moves])


def accuracy(scenes: Iterable[Scene]) -> dict[str, float]:
    """Share of drawn things of which each attribute is read rightly."""
    found: list[dict[str, bool]] = []
    for scene in scenes:
        pixels = draw_array(scene)
        halves = [None] if len(scene.things) == 1 else ["left", "right"]
        found += [judge(pixels, half).agrees(scene, index) for index, half in enumerate(halves)]
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}
