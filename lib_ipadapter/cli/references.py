"""Three reference pictures, drawn by code, so that the demo needs none."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

SIZE = 384

Array = NDArray[Any]


def references() -> dict[str, Image.Image]:
    """Name -> picture."""
    return {"dusk": dusk(), "forest": forest(), "night": night()}


def dusk() -> Image.Image:
    """A low sun over the sea."""
    x, y = grid()
    sky = blend(y / 0.62, (0.27, 0.20, 0.45), (0.98, 0.55, 0.35))
    sea = blend((y - 0.62) / 0.38, (0.86, 0.45, 0.36), (0.12, 0.13, 0.32))
    picture = np.where((y < 0.62)[..., None], sky, sea)
    sun = np.clip((0.13 - np.hypot(x - 0.5, y - 0.5)) * 60, 0, 1) * (y < 0.62)
    glitter = np.exp(-(((x - 0.5) / (0.04 + 0.25 * (y - 0.62))) ** 2)) * (np.sin(y * 260) > 0.2) * (y > 0.63) * 0.7
    return painted(over(picture, np.clip(sun + glitter, 0, 1), (1.0, 0.88, 0.55)))


def forest() -> Image.Image:
    """Hills of firs behind one another in the mist."""
    x, y = grid()
    picture = blend(y, (0.80, 0.90, 0.86), (0.62, 0.80, 0.70))
    for layer in range(5):
        depth = layer / 4
        firs = 0.05 * (1 - np.abs((x * (18 - 2 * layer) + 0.37 * layer) % 1 * 2 - 1)) * (0.6 + 0.4 * np.sin(x * 40))
        edge = 0.34 + 0.14 * layer + 0.06 * np.sin(x * (4 + layer) + 2.1 * layer) - firs * (0.6 + depth)
        colour = tuple(blend(np.array(depth), (0.50, 0.71, 0.60), (0.04, 0.20, 0.16)))
        picture = over(picture, np.clip((y - edge) * 150, 0, 1), colour)
    return painted(picture)


def night() -> Image.Image:
    """A moon, stars, and their light on snow."""
    x, y = grid()
    picture = blend(y, (0.02, 0.04, 0.14), (0.16, 0.27, 0.52))
    stars = np.random.default_rng(7).random((SIZE, SIZE)) > 0.9985
    picture = over(picture, stars * 0.9 * (y < 0.7), (1.0, 1.0, 1.0))
    moon = np.clip((0.12 - np.hypot(x - 0.68, y - 0.27)) * 80, 0, 1)
    shadow = np.clip((0.12 - np.hypot(x - 0.62, y - 0.24)) * 80, 0, 1)
    picture = over(picture, np.clip(moon - shadow, 0, 1), (0.98, 0.95, 0.82))
    snow = np.clip((y - 0.74 - 0.06 * np.sin(x * 5 + 1)) * 120, 0, 1)
    return painted(over(picture, snow, (0.72, 0.80, 0.93)))


def grid() -> tuple[Array, Array]:
    """Coordinates from 0 to 1, x to the right and y down."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / (SIZE - 1)
    return x, y


def blend(amount: Array, first: tuple[float, ...], second: tuple[float, ...]) -> Array:
    """From one colour to another."""
    part = np.clip(amount, 0, 1)[..., None]
    return np.array(first) * (1 - part) + np.array(second) * part


def over(picture: Array, opacity: Array, colour: tuple[float, ...]) -> Array:
    """A colour laid over a picture."""
    return picture * (1 - opacity[..., None]) + np.array(colour) * opacity[..., None]


def painted(picture: Array) -> Image.Image:
    """Values from 0 to 1 as a picture, its hardest edges softened."""
    return Image.fromarray((picture.clip(0, 1) * 255).round().astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.6))
