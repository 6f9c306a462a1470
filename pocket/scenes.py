"""What can be in a picture: the attributes, their values, and scenes drawn by lot."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

SIZE = 128
"""Pixels of a side."""

COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (216, 38, 38),
    "orange": (240, 138, 20),
    "yellow": (236, 214, 40),
    "green": (44, 164, 60),
    "teal": (24, 170, 170),
    "blue": (40, 84, 214),
    "purple": (132, 50, 190),
    "pink": (242, 104, 178),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (248, 248, 248),
    "grey": (188, 188, 188),
    "cream": (252, 234, 190),
    "mint": (198, 240, 210),
    "sky": (196, 226, 252),
    "rose": (250, 208, 216),
}
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
TEXTURES = ("plain", "striped", "checked", "spotted")
STYLES = ("flat", "outlined", "dotted", "watercolour")
PLACES = ("left", "centre", "right")
SIZES = ("small", "big")

LOOK = ("colour", "texture")
"""What a reference gives a thing whose shape the text names."""
SAID = ("shape", *LOOK)
"""What a text can name of a thing."""

RADIUS = {"small": 29.0, "big": 46.0}
"""Pixels from the middle of a thing to its rim."""
COLUMN = {"left": 0.26, "centre": 0.5, "right": 0.74}
"""Where a thing's middle is, as a part of the picture's width."""
JITTER = 3.0
"""Pixels by which a middle may be off."""


@dataclass(frozen=True)
class Thing:
    """One object."""

    shape: str
    colour: str
    texture: str
    size: str
    place: str
    offset: tuple[float, float] = (0.0, 0.0)
    """Pixels to the right and down."""


@dataclass(frozen=True)
class Scene:
    """One picture."""

    things: tuple[Thing, ...]
    """One, or two: the left one first."""
    background: str
    style: str
    grain: int = 0
    """Seed of what is irregular in a watercolour."""


def sample_scene(lot: random.Random, pair_share: float = 0.25) -> Scene:
    """Any scene; `pair_share` of them have two things."""
    if lot.random() < pair_share:
        things = tuple(sample_thing(lot, size="small", place=place) for place in ("left", "right"))
    else:
        things = (sample_thing(lot),)
    return Scene(things, lot.choice(list(BACKGROUNDS)), lot.choice(STYLES), lot.randrange(1 << 30))


def sample_thing(lot: random.Random, size: str | None = None, place: str | None = None) -> Thing:
    """Any thing; big ones are in the middle."""
    size = size or lot.choice(SIZES)
    place = place or ("centre" if size == "big" else lot.choice(PLACES))
    offset = (lot.uniform(-JITTER, JITTER), lot.uniform(-JITTER, JITTER))
    return Thing(lot.choice(SHAPES), lot.choice(list(COLOURS)), lot.choice(TEXTURES), size, place, offset)


def with_other_shape(scene: Scene, lot: random.Random) -> Scene:
    """The same look, shapes drawn anew: what a reference is to a text that names the shape.

    Of a thing by itself size and place are drawn anew as well; those of a pair stay.
    """
    first, *others = scene.things
    if others:
        return replace(scene, things=tuple(replace(thing, shape=lot.choice(SHAPES)) for thing in scene.things))
    thing = replace(sample_thing(lot), colour=first.colour, texture=first.texture)
    return replace(scene, things=(thing,), grain=lot.randrange(1 << 30))
