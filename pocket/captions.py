"""Captions: each names only part of what is in a picture, in a few orders of words."""

from __future__ import annotations

import random

from pocket.scenes import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZES, TEXTURES, Scene, Thing

NOTHING_SAID = "a picture"
NOUN = "thing"
"""Stands for a shape that is not named."""
STYLE_WORDS = {
    "flat": "flat colours",
    "outlined": "with an outline",
    "dotted": "with a dotted line",
    "watercolour": "watercolour",
}
PLACE_WORDS = {"left": "on the left", "centre": "in the middle", "right": "on the right"}


def caption(scene: Scene, lot: random.Random, *, shape: float = 0.75, places: bool = True) -> str:
    """A caption by lot; `shape`: how often a shape is named, `places`: whether sizes and places may be."""
    share = lot.choice((0.15, 0.5, 0.85))
    alone = len(scene.things) == 1
    things = [describe(thing, lot, share, shape, places and alone) for thing in scene.things]
    # Of two things either both are said or none: who asks for one thing shall get one.
    text = " and ".join(text or f"a {NOUN}" for text in things) if any(things) else ""
    if text and lot.random() < share:
        text += f" on {scene.background}" + lot.choice(("", " background"))
    if lot.random() < 0.6 * share:
        text = f"{text}, {STYLE_WORDS[scene.style]}" if text else f"a picture, {STYLE_WORDS[scene.style]}"
    return text or NOTHING_SAID


def describe(thing: Thing, lot: random.Random, share: float, shape: float, places: bool) -> str:
    """One thing; empty if nothing of it is named."""
    words = [getattr(thing, name) for name in ("colour", "texture") if lot.random() < share]
    if places and lot.random() < 0.5 * share:
        words.insert(0, thing.size)
    named = lot.random() < shape
    if not named and not words:
        return ""
    text = f"a {' '.join([*words, thing.shape if named else NOUN])}"
    return f"{text} {PLACE_WORDS[thing.place]}" if places and lot.random() < 0.5 * share else text


def vocabulary() -> list[str]:
    """Every word that a caption can hold."""
    said = " ".join([*STYLE_WORDS.values(), *PLACE_WORDS.values(), NOTHING_SAID, NOUN, "and background ,"])
    words = [*said.replace(",", " , ").split(), *SHAPES, *COLOURS, *TEXTURES, *SIZES, *PLACES, *BACKGROUNDS]
    return list(dict.fromkeys(words))
