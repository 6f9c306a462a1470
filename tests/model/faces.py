"""Faces without insightface: a picture with five dots where landmarks are, and an analyser that knows it."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np
from PIL import Image, ImageColor

from lib_ipadapter.model.face import TEMPLATE, WIDTH, Face

COLOURS = ("red", "lime", "blue", "yellow", "magenta")
"""Of the landmarks, in their order."""


def embedding(seed: int) -> tuple[float, ...]:
    """As long as insightface's usually are: about 22."""
    draw = random.Random(seed)
    return tuple(draw.gauss(0, 1) for _ in range(WIDTH))


def face(seed: int = 0, *, left: float = 30.0, top: float = 20.0, scale: float = 1.0, turn: complex = 1) -> Face:
    """Landmarks as ArcFace's template has them, `scale` times as large, turned by a complex number of length 1."""
    points = [complex(left, top) + scale * turn * complex(x, y) for x, y in TEMPLATE]
    return Face(
        box=(left, top, left + 112 * scale, top + 112 * scale),
        landmarks=tuple((point.real, point.imag) for point in points),
        embedding=embedding(seed),
    )


def portrait(*faces: Face, size: tuple[int, int] = (400, 300)) -> Image.Image:
    """Grey, with a dot of another colour on each landmark."""
    # Not by Pillow's ellipse, which knows whole pixels only.
    rows, columns = np.mgrid[: size[1], : size[0]]
    image = np.full((size[1], size[0], 3), 90.0)
    for one in faces:
        for (x, y), colour in zip(one.landmarks, COLOURS, strict=True):
            inside = np.clip(5 - np.hypot(columns - x, rows - y), 0, 1)[..., None]
            image += inside * (np.array(ImageColor.getrgb(colour)) - image)
    return Image.fromarray(image.round().astype(np.uint8))


@dataclass
class FakeAnalyser:
    """Finds the same faces in every picture, and counts how often it was asked."""

    found: list[Face]
    asked: list[Image.Image] = field(default_factory=list)

    def faces(self, image: Image.Image) -> list[Face]:
        self.asked.append(image)
        return list(self.found)
