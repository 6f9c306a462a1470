"""``python -m pocket.sweep``: which layer carries what, and what each weight type does, on the pocket model.

Each layer by itself, all layers but one, and every weight type, over held-out references and an empty prompt; the judge
says which attributes agree with the reference. What the layers of the published networks do was found by their users;
this finds it for the small one, and need not find the same.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.table import Table

from lib_ipadapter.maths.structure import SD15
from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket import ship
from pocket.draw import draw
from pocket.judge import judge
from pocket.measuring import CODE, draw_all, filled, publish, studio
from pocket.memory import Memory
from pocket.questions import HELD_OUT, READ
from pocket.scenes import Scene, sample_scene
from pocket.studio import GUIDANCE, SAMPLER, unit_of_each

SWEEP = Path(__file__).parent / "sweep.json"
"""What was measured, beside the weights that it was measured with."""
STEPS = 8
"""Half of what the evaluation takes: there are a thousand pictures."""
SCALE = 1.0
PRECISE = (WeightType.STYLE_PRECISE.value, WeightType.COMPOSITION_PRECISE.value)
SECOND = "as the second picture"
"""Of an attribute that agrees with the composition's picture, where that is another one."""


@dataclass(frozen=True)
class Task:
    """One picture to draw."""

    group: str
    """Of what is compared: ``alone``, ``without``, ``weight type``, ``two pictures`` or ``reference``."""
    name: str
    seed: int
    scene: Scene
    """The reference."""
    fields: tuple[tuple[str, Any], ...] = ()
    """What the unit has besides picture, model and scale."""
    second: Scene | None = None
    """The composition's picture."""

    @property
    def together(self) -> bool:
        """Whether it may be drawn with others: a composition's picture is one for all, as precise types ask."""
        return self.second is None and self.name not in PRECISE


def tasks(count: int) -> list[Task]:
    """Everything that is measured, over `count` references."""
    lot = random.Random(HELD_OUT)
    scenes = [sample_scene(lot, pair_share=0.0) for _ in range(count)]
    found: list[Task] = []
    for seed, (scene, other) in enumerate(zip(scenes, [*scenes[1:], scenes[0]], strict=True)):
        found.append(Task("reference", "no picture", seed, scene, (("enabled", False),)))
        for layer in range(SD15.layers):
            for group, factor in (("alone", 1.0), ("without", 0.0)):
                factors = [factor if at == layer else 1.0 - factor for at in range(SD15.layers)]
                found.append(Task(group, str(layer), seed, scene, (("layers", ", ".join(map(repr, factors))),)))
        for kind in WeightType:
            weights = (("weight_type", kind.value),)
            if kind.two_pictures:
                found.append(Task("two pictures", kind.value, seed, scene, weights, other))
            # With one picture and one scale this one is the linear type.
            if kind is not WeightType.STRONG_STYLE_AND_COMPOSITION:
                found.append(Task("weight type", kind.value, seed, scene, weights))
    return found


def alike(task: Task) -> tuple[object, ...]:
    """What all pictures that are drawn together have."""
    return task.group, task.name, None if task.together else task.seed


def perform(lot: Sequence[Task]) -> list[Image.Image]:
    """Draws tasks that are `alike`; runs in a process of its own."""
    seeds = [task.seed for task in lot]
    return studio().draw_each([""] * len(lot), seeds, unit_of(lot), num_inference_steps=STEPS)


def unit_of(lot: Sequence[Task]) -> Unit:
    """What a user would set."""
    second = {} if lot[0].second is None else {"composition_image": draw(lot[0].second)}
    references = [draw(task.scene) for task in lot]
    return replace(unit_of_each(Kind.BASE, references, SCALE), **dict(lot[0].fields), **second)


def look(task: Task, picture: Image.Image) -> dict[str, bool]:
    """Whether it agrees with its reference, or references, by attribute."""
    verdict = judge(picture)
    found = verdict.agrees(task.scene)
    if task.second:
        found |= {f"{name} {SECOND}": right for name, right in verdict.agrees(task.second).items()}
    return found


def key_of(memory: Memory, task: Task) -> str:
    """By what `memory` knows a task again."""
    files = [ship.CHECKPOINT, *CODE, ship.adapter_path(Kind.BASE), ship.ENCODER / "model.safetensors"]
    return memory.key((task, STEPS, SCALE, GUIDANCE, SAMPLER), files)


def measure(count: int, processes: int) -> dict[str, Any]:
    """Group -> name -> attribute -> share of the references that it agrees with, from 0 to 1."""
    found: dict[str, dict[str, list[dict[str, bool]]]] = {}
    for task, picture in draw_all(tasks(count), perform, key=key_of, alike=alike, processes=processes):
        found.setdefault(task.group, {}).setdefault(task.name, []).append(look(task, picture))
    shares = {
        group: {
            name: {part: float(np.mean([answer[part] for answer in answers])) for part in answers[0]}
            for name, answers in names.items()
        }
        for group, names in found.items()
    }
    about = {"references": count, "weights": ship.contents(Kind.BASE), "steps": STEPS, "adapter": Kind.BASE.value}
    return {**about, "scale": SCALE, **shares}


def tables(numbers: Mapping[str, Any]) -> list[Table]:
    """For people."""
    none = {"no picture": numbers["reference"]["no picture"]}
    whole = {"all layers": numbers["weight type"][WeightType.LINEAR.value]}
    found = [
        _filled("One layer alone", none | numbers["alone"] | whole),
        _filled("All layers but one", whole | numbers["without"]),
        _filled("Weight types", none | numbers["weight type"]),
    ]
    for reference, end in (("first", ""), ("second", f" {SECOND}")):
        rows = {name: {part: shares[part + end] for part in READ} for name, shares in numbers["two pictures"].items()}
        found.append(_filled(f"Two pictures: agrees with the {reference}", rows))
    return found


def _filled(title: str, rows: Mapping[str, Mapping[str, float]]) -> Table:
    return filled(title, "", rows, READ, ".0%")


def main(
    count: Annotated[int, typer.Option(min=2, help="Held-out references.")] = 24,
    processes: Annotated[int, typer.Option(help="Processes; as many as there are cores, if 0.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go as JSON.")] = None,
) -> None:
    """Measure what each layer and each weight type takes from the reference."""
    numbers = measure(count, processes)
    publish(numbers, tables(numbers), json_file)


if __name__ == "__main__":
    typer.run(main)
