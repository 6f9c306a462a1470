"""What is asked of the pocket model and its adapters: pictures of held-out scenes, and what each should show."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Any

from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Kind
from pocket import halves
from pocket.scenes import SAID, SHAPES, Scene, sample_scene
from pocket.studio import KINDS

PART = 0.4
SCALES = (0.25, 0.5, 0.75, 1.0)
READ = ("colour", "texture", "shape", "size", "place", "background")
WHEN: dict[str, dict[str, float]] = {
    f"until {PART:.0%} of the steps": {"end": PART},
    f"from {PART:.0%} of the steps on": {"start": PART},
}
"""Name -> when the picture acts."""
LAYERS = {
    f"weight type {kind.value}": {"weight_type": kind.value} for kind in (WeightType.STYLE, WeightType.COMPOSITION)
}
"""Name -> in which layers."""
HELD_OUT = 1_000_003
"""Seed of scenes that no training has drawn."""


@dataclass(frozen=True)
class Task:
    """One picture to draw, and what it should show."""

    group: str
    scene: Scene
    """What the judge compares with."""
    prompt: str
    seed: int
    kind: Kind | None = None
    scale: float = 0.0
    reference: Scene | None = None
    asked: tuple[str, ...] = READ
    start: float = 0.0
    end: float = 1.0
    weight_type: str = WeightType.LINEAR.value
    beside: Scene | None = None
    """What the right half should show; then `scene` is for the left one."""


def tasks(count: int) -> list[Task]:
    """Everything that is measured, over `count` scenes."""
    lot = random.Random(HELD_OUT)
    scenes = [sample_scene(lot, pair_share=0.0) for _ in range(count)]
    found: list[Task] = []
    for number, scene in enumerate(scenes):
        thing, named = scene.things[0], renamed(scene, lot)
        text = f"a {thing.colour} {thing.texture} {thing.shape}"
        both = Task("text and image", named, f"a {named.things[0].shape}", number, reference=scene, asked=SAID)
        found.append(Task("no picture", scene, "", number))
        found += [Task("image alone", scene, "", number, kind, 1.0, scene) for kind in KINDS]
        found.append(Task("text alone", scene, text, number, asked=SAID))
        found += [replace(both, kind=kind, scale=scale) for kind in KINDS for scale in SCALES]
        parts: dict[str, dict[str, Any]] = {**WHEN, **LAYERS}
        found += [replace(both, group=group, kind=Kind.PLUS, scale=1.0, **part) for group, part in parts.items()]
    for right in halves.Right:
        pairs = zip(scenes[::2], scenes[1::2] or scenes, strict=False)
        found += [
            Task(right.value, *(one, "", number), halves.KIND, beside=two) for number, (one, two) in enumerate(pairs)
        ]
    return found


def renamed(scene: Scene, lot: random.Random) -> Scene:
    """With another shape: the one that the text will name."""
    shape = lot.choice([shape for shape in SHAPES if shape != scene.things[0].shape])
    return replace(scene, things=(replace(scene.things[0], shape=shape),))


def alike(task: Task) -> tuple[object, ...]:
    """What all pictures that are drawn together have."""
    return task.group, task.kind, task.scale
