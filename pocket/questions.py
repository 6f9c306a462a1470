"""What is asked of the pocket model and its adapters: pictures of held-out scenes, and what each should show."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Kind
from pocket import halves
from pocket.request import Options, Request
from pocket.scenes import SAID, SHAPES, Scene, sample_scene
from pocket.studio import KINDS

PART = 0.4
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0)
READ = ("colour", "texture", "shape", "size", "place", "background")
WHEN: dict[str, Options] = {
    f"until {PART:.0%} of the steps": (("end", PART),),
    f"from {PART:.0%} of the steps on": (("start", PART),),
}
"""Name -> when the picture acts."""
LAYERS = {
    f"weight type {kind.value}": (("weight_type", kind.value),) for kind in (WeightType.STYLE, WeightType.COMPOSITION)
}
"""Name -> in which layers."""
HELD_OUT = 1_000_003
"""Seed of scenes that no training has drawn."""


@dataclass(frozen=True)
class Task:
    """One picture, and what it should show."""

    group: str
    request: Request
    scene: Scene
    """What the judge compares with."""
    asked: tuple[str, ...] = READ
    beside: Scene | None = None
    """What the right half should show; then `scene` is for the left one."""


def tasks(count: int) -> list[Task]:
    """Everything that is measured, over `count` scenes."""
    lot = random.Random(HELD_OUT)
    scenes = [sample_scene(lot, pair_share=0.0) for _ in range(count)]
    found = [task for seed, scene in enumerate(scenes) for task in _of_one(scene, seed, renamed(scene, lot))]
    for right in halves.Right:
        pairs = zip(scenes[::2], scenes[1::2] or scenes, strict=False)
        found += [
            Task(right.value, halves.request(right, pair, seed), pair[0], SAID, pair[1])
            for seed, pair in enumerate(pairs)
        ]
    return found


def _of_one(scene: Scene, seed: int, named: Scene) -> list[Task]:
    """Without a picture, by it alone, by a text alone, and by both. `named`: with the shape that the text names."""
    thing, silent = scene.things[0], Request("", seed)
    text = f"a {thing.colour} {thing.texture} {thing.shape}"
    both = Request(f"a {named.things[0].shape}", seed, Kind.PLUS, scene)
    plus: dict[str, Options] = {**WHEN, **LAYERS}
    return [
        Task("no picture", silent, scene),
        *(Task("image alone", replace(silent, kind=kind, reference=scene), scene) for kind in KINDS),
        Task("text alone", replace(silent, prompt=text), scene, SAID),
        *(
            Task("text and image", replace(both, kind=kind, scale=scale), named, SAID)
            for kind in KINDS
            for scale in SCALES
        ),
        *(Task(group, replace(both, options=own), named, SAID) for group, own in plus.items()),
    ]


def renamed(scene: Scene, lot: random.Random) -> Scene:
    """With another shape: the one that the text will name."""
    shape = lot.choice([shape for shape in SHAPES if shape != scene.things[0].shape])
    return replace(scene, things=(replace(scene.things[0], shape=shape),))
