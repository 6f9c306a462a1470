"""The pictures that go into the examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from PIL import Image

from pocket.draw import draw
from pocket.scenes import Scene, Thing


def scene(shape: str, colour: str, texture: str, background: str) -> Image.Image:
    """One big thing in the middle."""
    return draw(Scene((Thing(shape, colour, texture, "big", "centre"),), background, "flat"))


PICTURES: Mapping[str, Callable[[], Image.Image]] = {
    "purple-stripes": partial(scene, "circle", "purple", "striped", "cream"),
    "red-checks": partial(scene, "star", "red", "checked", "sky"),
    "teal-spots": partial(scene, "ring", "teal", "spotted", "rose"),
}
"""Name -> what draws it."""
