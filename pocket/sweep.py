"""``python -m pocket.sweep``: which layer carries what, and what each weight type does, on the pocket model.

Each layer by itself, all layers but one, and every weight type, over held-out references and an empty prompt; the judge
says which attributes agree with the reference. What the layers of the published networks do was found by their users;
this finds it for the small one, and need not find the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
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
from pocket import ship
from pocket.judge import judge
from pocket.measuring import Processes, draw_all, filled, publish
from pocket.questions import HELD_OUT, READ
from pocket.request import Request
from pocket.scenes import Scene, sample_scene

SWEEP = Path(__file__).parent / "sweep.json"
"""What was measured, beside the weights that it was measured with."""
STEPS = 8
"""Half of what the evaluation takes: there are a thousand pictures."""
SCALE = 1.0
SECOND = "as the second picture"
"""Of an attribute that agrees with the composition's picture, where that is another one."""


@dataclass(frozen=True)
class Task:
    """One picture, and whose attributes it may have."""

    group: str
    """Of what is compared: ``alone``, ``without``, ``weight type``, ``two pictures`` or ``reference``."""
    name: str
    request: Request
    scene: Scene
    """The reference."""


def tasks(count: int) -> list[Task]:
    """Everything that is measured, over `count` references."""
    lot = random.Random(HELD_OUT)
    scenes = [sample_scene(lot, pair_share=0.0) for _ in range(count)]
    pairs = zip(scenes, [*scenes[1:], scenes[0]], strict=True)
    return [task for seed, pair in enumerate(pairs) for task in _of_one(*pair, seed)]


def _of_one(scene: Scene, other: Scene, seed: int) -> Iterator[Task]:
    """Every layer and every weight type. `other`: the composition's picture."""
    silent = Request("", seed, steps=STEPS)
    whole = replace(silent, kind=Kind.BASE, reference=scene, scale=SCALE)
    yield Task("reference", "no picture", silent, scene)
    for layer in range(SD15.layers):
        for group, factor in (("alone", 1.0), ("without", 0.0)):
            factors = [factor if at == layer else 1.0 - factor for at in range(SD15.layers)]
            layers = (("layers", ", ".join(map(repr, factors))),)
            yield Task(group, str(layer), replace(whole, options=layers), scene)
    for kind in WeightType:
        weighted = replace(whole, options=(("weight_type", kind.value),))
        if kind.two_pictures:
            yield Task("two pictures", kind.value, replace(weighted, composition=other), scene)
        # With one picture and one scale this one is the linear type.
        if kind is not WeightType.STRONG_STYLE_AND_COMPOSITION:
            yield Task("weight type", kind.value, weighted, scene)


def look(task: Task, picture: Image.Image) -> dict[str, bool]:
    """Whether it agrees with its reference, or references, by attribute."""
    verdict = judge(picture)
    found = verdict.agrees(task.scene)
    if second := task.request.composition:
        found |= {f"{name} {SECOND}": right for name, right in verdict.agrees(second).items()}
    return found


def measure(count: int, processes: int) -> dict[str, Any]:
    """Group -> name -> attribute -> share of the references that it agrees with, from 0 to 1."""
    found: dict[str, dict[str, list[dict[str, bool]]]] = {}
    asked = tasks(count)
    pictures = draw_all([task.request for task in asked], processes)
    for task, picture in zip(asked, pictures, strict=True):
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
    processes: Processes = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go as JSON.")] = None,
) -> None:
    """Measure what each layer and each weight type takes from the reference."""
    numbers = measure(count, processes)
    publish(numbers, tables(numbers), json_file)


if __name__ == "__main__":
    typer.run(main)
