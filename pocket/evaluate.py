"""``python -m pocket.evaluate``: what the pocket model and its adapters do, judged on held-out scenes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.table import Table

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket import halves, ship
from pocket.draw import draw
from pocket.judge import accuracy, judge
from pocket.measuring import CODE, draw_all, filled, publish, studio
from pocket.memory import Memory
from pocket.questions import HELD_OUT, LAYERS, READ, SCALES, WHEN, Task, alike, tasks
from pocket.scenes import LOOK, SAID, sample_scene
from pocket.studio import GUIDANCE, KINDS, SAMPLER, STEPS, unit_of_each


def perform(lot: Sequence[Task]) -> list[Image.Image]:
    """Draws tasks that are `alike`; runs in a process of its own."""
    seeds = [task.seed for task in lot]
    if pairs := [(task.scene, task.beside) for task in lot if task.beside]:
        return halves.perform(studio(), halves.Right(lot[0].group), pairs, seeds)
    return studio().draw_each([task.prompt for task in lot], seeds, *_units(lot))


def look(task: Task, picture: Image.Image) -> dict[str, bool]:
    """Whether it shows what it should, by attribute."""
    return halves.look(picture, (task.scene, task.beside)) if task.beside else judge(picture).agrees(task.scene)


def _units(lot: Sequence[Task]) -> list[Unit]:
    first, references = lot[0], [draw(task.reference) for task in lot if task.reference]
    if not (first.kind and references):
        return []
    own = unit_of_each(first.kind, references, first.scale)
    return [replace(own, start=first.start, end=first.end, weight_type=first.weight_type)]


def key_of(memory: Memory, task: Task) -> str:
    """By what `memory` knows a task again."""
    return memory.key(_question(task), _files(task))


def _question(task: Task) -> tuple[Task, Any]:
    return task, (STEPS, GUIDANCE, SAMPLER)


def _files(task: Task) -> list[Path]:
    own = [ship.adapter_path(task.kind), ship.ENCODER / "model.safetensors"] if task.kind else []
    return [ship.CHECKPOINT, *CODE, *own]


def measure(count: int, processes: int) -> dict[str, Any]:
    """All numbers, as shares from 0 to 1."""
    drawn = draw_all(tasks(count), perform, key=key_of, alike=alike, processes=processes)
    rows = [(task, look(task, picture)) for task, picture in drawn]
    lot = random.Random(HELD_OUT + 1)
    both = {kind.value: {f"{s:g}": _shares(rows, "text and image", kind, s) for s in SCALES} for kind in KINDS}
    return {
        "references": count,
        "weights": ship.contents(*KINDS),
        "judge": accuracy([sample_scene(lot) for _ in range(1000)]),
        "text alone": _shares(rows, "text alone"),
        "no picture": _shares(rows, "no picture"),
        "image alone": {kind.value: _shares(rows, "image alone", kind, 1.0) for kind in KINDS},
        "text and image": both,
        "when": {group: _shares(rows, group, Kind.PLUS, 1.0) for group in WHEN},
        "layers": {group: _shares(rows, group, Kind.PLUS, 1.0) for group in LAYERS},
        "halves": {right.value: _half_shares(rows, right) for right in halves.Right},
    }


def _shares(
    rows: Iterable[tuple[Task, Mapping[str, bool]]], group: str, kind: Kind | None = None, scale: float = 0.0
) -> dict[str, float]:
    """Of each attribute that was asked for, and of all of shape, colour and texture together."""
    own = [(task, found) for task, found in rows if (task.group, task.kind, task.scale) == (group, kind, scale)]
    shares = {name: float(np.mean([found[name] for _, found in own])) for name in own[0][0].asked}
    together = [all(found[name] for name in SAID) for _, found in own]
    return shares | {"together": float(np.mean(together))}


def _half_shares(rows: Iterable[tuple[Task, Mapping[str, bool]]], right: halves.Right) -> dict[str, dict[str, float]]:
    """Of each half, as `_shares`; and how often both have the look that they should have."""
    own = [found for task, found in rows if task.beside and task.group == right.value]
    by_half = {half: [{name: found[f"{half} {name}"] for name in SAID} for found in own] for half in ("left", "right")}
    shares = {
        half: {name: float(np.mean([one[name] for one in found])) for name in SAID}
        | {"together": float(np.mean([all(one.values()) for one in found]))}
        for half, found in by_half.items()
    }
    looks = [all(found[f"{half} {name}"] for half in by_half for name in LOOK) for found in own]
    return shares | {"both": {"look": float(np.mean(looks))}}


def tables(numbers: Mapping[str, Any]) -> list[Table]:
    """For people."""
    alone = {"no adapter": numbers["no picture"], **numbers["image alone"]}
    both = {
        f"{kind} {scale}": found
        for kind, scales in numbers["text and image"].items()
        for scale, found in scales.items()
    }
    both |= {f"plus 1, {part}": found for part, found in {**numbers["when"], **numbers["layers"]}.items()}
    count = numbers["references"]
    parts = {
        f"{half}; right by {right}": shares[half]
        for right, shares in numbers["halves"].items()
        for half in ("left", "right")
    }
    return [
        filled(f"Image alone, scale 1, {count} held-out references", "adapter", alone, (*READ, "together")),
        filled("Shape from the text, colour and texture from the image", "adapter, scale", both, (*SAID, "together")),
        filled(f"Left half by a picture, {halves.KIND.value} {halves.SCALE}", "half", parts, (*SAID, "together")),
        filled("Text alone", "", {"no adapter": numbers["text alone"]}, (*SAID, "together")),
    ]


def main(
    count: Annotated[int, typer.Option(min=1, help="Held-out references.")] = 200,
    processes: Annotated[int, typer.Option(help="Processes; as many as there are cores, if 0.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go as JSON.")] = None,
) -> None:
    """Measure how far pictures follow the reference and the text."""
    numbers = measure(count, processes)
    publish(numbers, tables(numbers), json_file)


if __name__ == "__main__":
    typer.run(main)
