"""Two regions of one picture: the left half by a masked reference, the right half by another one or by the text."""

from __future__ import annotations

from enum import Enum

from PIL import Image

from lib_ipadapter.model.variant import Kind
from pocket.judge import judge
from pocket.request import Request
from pocket.scenes import SAID, Scene

KIND, SCALE = Kind.PLUS, 0.75
HALVES = ("left", "right")

Pair = tuple[Scene, Scene]
"""What the left half should show, and the right one."""


class Right(str, Enum):
    """What says how the right half shall look."""

    REFERENCE = "a second picture"
    TEXT = "the text"


def prompt(right: Right, scene: Scene) -> str:
    """Asks for two things, of which it describes what no reference does."""
    thing = scene.things[0]
    said = "thing" if right is Right.REFERENCE else f"{thing.colour} {thing.texture} {thing.shape}"
    return f"a thing and a {said}"


def request(right: Right, pair: Pair, seed: int) -> Request:
    """Each reference acts in its half alone."""
    left, other = pair
    second = other if right is Right.REFERENCE else None
    return Request(prompt(right, other), seed, KIND, left, SCALE, left_half=True, right=second)


def look(picture: Image.Image, pair: Pair) -> dict[str, bool]:
    """Whether each half shows what it should: ``left colour`` and so on."""
    found: dict[str, bool] = {}
    for half, scene in zip(HALVES, pair, strict=True):
        agrees = judge(picture, half).agrees(scene)
        found |= {f"{half} {name}": agrees[name] for name in SAID}
    return found
