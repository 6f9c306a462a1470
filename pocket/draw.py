"""Scenes as pictures: signed distances, so that edges are smooth without drawing larger first."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pocket.scenes import BACKGROUNDS, COLOURS, COLUMN, RADIUS, SIZE, Scene, Thing

Plane = NDArray[np.floating[Any]]
"""``[SIZE, SIZE]``"""
Pixels = NDArray[np.floating[Any]]
"""``[SIZE, SIZE, 3]``"""

SHADE = 0.42
"""What a texture's dark parts keep of the colour."""
INK = np.array((36, 30, 40), np.float32)
PERIOD = 17.0
"""Pixels from one stripe, row of squares or spot to the next: more than two latents."""


def draw(scene: Scene) -> Image.Image:
    """RGB, SIZE x SIZE."""
    return Image.fromarray(draw_array(scene))


def close_up_of(scene: Scene) -> Image.Image:
    """The middle of its picture, half as wide."""
    cut = SIZE // 4
    return draw(scene).crop((cut, cut, SIZE - cut, SIZE - cut))


def draw_array(scene: Scene) -> NDArray[np.uint8]:
    """``[SIZE, SIZE, 3]``"""
    picture: Pixels = np.tile(np.array(BACKGROUNDS[scene.background], np.float32), (SIZE, SIZE, 1))
    grain = _grain(scene.grain) if scene.style == "watercolour" else None
    for thing in scene.things:
        picture = _paint(picture, thing, scene.style, grain)
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _paint(picture: Pixels, thing: Thing, style: str, grain: Plane | None) -> Pixels:
    radius = RADIUS[thing.size]
    x, y = _grid(COLUMN[thing.place] * SIZE + thing.offset[0], SIZE / 2 + thing.offset[1])
    distance = _distance(thing.shape, x, y, radius)
    colour = np.array(COLOURS[thing.colour], np.float32)
    light = (SHADE + (1 - SHADE) * texture(thing.texture, x, y))[..., None]
    cover = np.ones_like(distance)
    if grain is not None:  # the edge wavers, the paint is thin here and there and thick along the rim
        distance = distance + 1.5 * grain
        cover = np.clip(0.80 + 0.14 * grain + 0.2 * np.exp(distance / 3), 0.6, 1)
    inside = (np.clip(0.5 - distance, 0, 1) * cover)[..., None]
    picture = picture * (1 - inside) + colour * light * inside
    if style in ("outlined", "dotted"):
        line = np.clip(2.6 - np.abs(distance + 1.0), 0, 1)
        if style == "dotted":
            line = line * _dashes(x, y, radius)
        picture = picture * (1 - line[..., None]) + INK * line[..., None]
    return picture


def _grid(x: float, y: float) -> tuple[Plane, Plane]:
    """Pixels' places from a middle, to the right and down."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) + 0.5
    return columns - x, rows - y


def _distance(shape: str, x: Plane, y: Plane, r: float) -> Plane:
    """Pixels to the rim, negative inside."""
    if shape == "circle":
        return np.hypot(x, y) - 0.95 * r
    if shape == "ring":
        return np.abs(np.hypot(x, y) - 0.70 * r) - 0.29 * r
    if shape == "square":
        return np.maximum(np.abs(x), np.abs(y)) - 0.84 * r
    if shape == "cross":
        wide, narrow = 0.98 * r, 0.36 * r
        return np.minimum(
            np.maximum(np.abs(x) - wide, np.abs(y) - narrow), np.maximum(np.abs(y) - wide, np.abs(x) - narrow)
        )
    if shape == "triangle":
        slope = math.sqrt(5) / 2
        return np.maximum(y - 0.85 * r, (np.abs(x) * 2 - (y + 1.05 * r)) / (2 * slope))
    return _star(x, y, 1.08 * r)


def _star(x: Plane, y: Plane, r: float) -> Plane:
    """Five points: one of ten edges, mirrored into place."""
    angle = np.arctan2(x, -y)
    angle = np.abs((angle + math.pi / 5) % (2 * math.pi / 5) - math.pi / 5)
    length = np.hypot(x, y)
    px, py = length * np.sin(angle), length * np.cos(angle)
    inner = 0.5 * r
    ax, ay = inner * math.sin(math.pi / 5), inner * math.cos(math.pi / 5)
    nx, ny = r - ay, ax  # normal of the edge from (0, r) to (ax, ay), outwards
    norm = math.hypot(nx, ny)
    return (px * nx + (py - r) * ny) / norm


def texture(name: str, x: Plane, y: Plane) -> Plane:
    """1 where the colour is light, 0 where it is dark."""
    turn = 2 * math.pi / PERIOD
    if name == "striped":
        return _step(np.cos((x + y) / math.sqrt(2) * turn) * PERIOD / 6)
    if name == "checked":
        side = math.sqrt(2)
        return _step(np.cos(x * turn / side) * np.cos(y * turn / side) * PERIOD / 4)
    if name == "spotted":
        wave = np.cos(x * turn) + np.cos(y * turn)
        return _step((0.65 - wave) * PERIOD / 6)
    return np.ones_like(x)


def _step(height: Plane) -> Plane:
    return np.clip(height + 0.5, 0, 1)


def _dashes(x: Plane, y: Plane, radius: float) -> Plane:
    """1 on every other piece of a turn around the middle."""
    count = 9 if radius < 35 else 13
    return _step(np.cos(np.arctan2(y, x) * count) * 3)


def _grain(seed: int) -> Plane:
    """Smooth and irregular, about -1 to 1."""
    lot = np.random.default_rng(seed)
    rows = _waves()
    plane = rows.T @ lot.normal(size=(len(rows), len(rows))).astype(np.float32) @ rows
    return np.clip(plane / (plane.std() * 2), -1, 1)


@cache
def _waves() -> NDArray[np.float32]:
    """``[waves, SIZE]``: cosines of up to six bends."""
    place = (np.arange(SIZE) + 0.5) / SIZE
    return np.stack([np.cos(math.pi * bends * place) for bends in range(7)]).astype(np.float32)
