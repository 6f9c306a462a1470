"""Two regions of one picture: the left half by a masked reference, the right half by another one or by the text."""

from __future__ import annotations

from dataclasses import replace
from enum import Enum

from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.where import Side
from pocket.draw import draw
from pocket.judge import judge
from pocket.scenes import SAID, SIZE, Scene
from pocket.studio import Studio, unit

KIND, SCALE = Kind.BASE, 0.75


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


def units(right: Right, left_scene: Scene, right_scene: Scene) -> list[Unit]:
    """Each acts in its half alone."""
    inside = replace(unit(KIND, draw(left_scene), SCALE), mask=left_half())
    if right is Right.TEXT:
        return [inside]
    other = unit(KIND, draw(right_scene), SCALE)
    return [inside, replace(other, mask=left_half(), region=Side.OUTSIDE.value)]


def perform(studio: Studio, right: Right, scenes: tuple[Scene, Scene], seed: int) -> dict[str, bool]:
    """Draws and judges; ``left colour`` and so on."""
    picture = studio.draw(prompt(right, scenes[1]), seed, *units(right, *scenes))
    found: dict[str, bool] = {}
    for half, scene in zip(("left", "right"), scenes, strict=True):
        agrees = judge(picture, half).agrees(scene)
        found |= {f"{half} {name}": agrees[name] for name in SAID}
    return found
