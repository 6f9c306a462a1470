"""Two regions of one picture: the left half by a masked reference, the right half by another one or by the text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import Enum

from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.where import Side
from pocket.draw import draw
from pocket.judge import judge
from pocket.scenes import SAID, SIZE, Scene
from pocket.studio import Studio, unit_of_each

KIND, SCALE = Kind.PLUS, 0.75

Pair = tuple[Scene, Scene]
"""What the left half should show, and the right one."""


class Right(str, Enum):
    """What says how the right half shall look."""

    REFERENCE = "a second picture"
    TEXT = "the text"


def left_half() -> Image.Image:
    """White on the left."""
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(255, (0, 0, SIZE // 2, SIZE))
    return mask


def prompt(right: Right, scene: Scene) -> str:
    """Asks for two things, of which it describes what no reference does."""
    thing = scene.things[0]
    said = "thing" if right is Right.REFERENCE else f"{thing.colour} {thing.texture} {thing.shape}"
    return f"a thing and a {said}"


def units(right: Right, pairs: Sequence[Pair]) -> list[Unit]:
    """Each acts in its half alone, and shows to each picture its own reference."""
    lefts, rights = zip(*pairs, strict=True)
    inside = replace(unit_of_each(KIND, [*map(draw, lefts)], SCALE), mask=left_half())
    if right is Right.TEXT:
        return [inside]
    other = unit_of_each(KIND, [*map(draw, rights)], SCALE)
    return [inside, replace(other, mask=left_half(), region=Side.OUTSIDE.value)]


def perform(studio: Studio, right: Right, pairs: Sequence[Pair], seeds: Sequence[int]) -> list[Image.Image]:
    """Draws each pair."""
    return studio.draw_each([prompt(right, second) for _, second in pairs], seeds, *units(right, pairs))


def look(picture: Image.Image, pair: Pair) -> dict[str, bool]:
    """Whether each half shows what it should: ``left colour`` and so on."""
    found: dict[str, bool] = {}
    for half, scene in zip(("left", "right"), pair, strict=True):
        agrees = judge(picture, half).agrees(scene)
        found |= {f"{half} {name}": agrees[name] for name in SAID}
    return found
