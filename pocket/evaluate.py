"""``python -m pocket.evaluate``: what the pocket model and its adapters do, judged on held-out scenes."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from lib_ipadapter.model.variant import Kind
from pocket.draw import draw
from pocket.judge import accuracy, judge
from pocket.scenes import COLOURS, SHAPES, TEXTURES, Scene, sample_scene
from pocket.studio import KINDS, Studio, unit

SCALES = (0.2, 0.4, 0.6, 0.8, 1.0)
LOOK = ("colour", "texture")
READ = ("colour", "texture", "shape", "size", "place", "background")
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


def tasks(count: int) -> list[Task]:
    """Everything that is measured, over `count` scenes."""
    lot = random.Random(HELD_OUT)
    scenes = [sample_scene(lot, pair_share=0.0) for _ in range(count)]
    found: list[Task] = []
    for number, scene in enumerate(scenes):
        found.append(Task("no picture", scene, "", number))
        found += [Task("image alone", scene, "", number, kind, 1.0, scene) for kind in KINDS]
        found.append(_text(scene, number, lot))
        named = renamed(scene, lot)
        found += [
            Task("text and image", named, f"a {named.things[0].shape}", number, kind, scale, scene, ("shape", *LOOK))
            for kind in KINDS
            for scale in SCALES
        ]
    return found


def _text(scene: Scene, number: int, lot: random.Random) -> Task:
    """A prompt that names shape, colour and texture."""
    thing = scene.things[0]
    return Task("text alone", scene, f"a {thing.colour} {thing.texture} {thing.shape}", number, asked=("shape", *LOOK))


def renamed(scene: Scene, lot: random.Random) -> Scene:
    """With another shape: the one that the text will name."""
    shape = lot.choice([shape for shape in SHAPES if shape != scene.things[0].shape])
    return replace(scene, things=(replace(scene.things[0], shape=shape),))


@cache
def _studio() -> Studio:
    return Studio()


def perform(task: Task) -> dict[str, bool]:
    """Draws and judges; runs in a process of its own."""
    units = [unit(task.kind, draw(task.reference), task.scale)] if task.kind and task.reference else []
    return judge(_studio().draw(task.prompt, task.seed, *units)).agrees(task.scene)


def measure(count: int, processes: int) -> dict[str, Any]:
    """All numbers, as shares from 0 to 1."""
    wanted = tasks(count)
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        found = list(tqdm(pool.map(perform, wanted, chunksize=4), "drawing", len(wanted), unit="picture"))
    rows = list(zip(wanted, found, strict=True))
    lot = random.Random(HELD_OUT + 1)
    both = {kind.value: {f"{s:g}": _shares(rows, "text and image", kind, s) for s in SCALES} for kind in KINDS}
    return {
        "references": count,
        "judge": accuracy([sample_scene(lot) for _ in range(1000)]),
        "chance": {"colour": 1 / len(COLOURS), "texture": 1 / len(TEXTURES), "shape": 1 / len(SHAPES)},
        "text alone": _shares(rows, "text alone"),
        "no picture": _shares(rows, "no picture"),
        "image alone": {kind.value: _shares(rows, "image alone", kind, 1.0) for kind in KINDS},
        "text and image": both,
    }


def _shares(
    rows: Iterable[tuple[Task, Mapping[str, bool]]], group: str, kind: Kind | None = None, scale: float = 0.0
) -> dict[str, float]:
    """Of each attribute that was asked for, and of all of shape, colour and texture together."""
    own = [(task, found) for task, found in rows if (task.group, task.kind, task.scale) == (group, kind, scale)]
    shares = {name: float(np.mean([found[name] for _, found in own])) for name in own[0][0].asked}
    together = [all(found[name] for name in ("shape", *LOOK)) for _, found in own]
    return shares | {"together": float(np.mean(together))}


def tables(numbers: Mapping[str, Any]) -> list[Table]:
    """For people."""
    alone = Table(title=f"Image alone, scale 1, {numbers['references']} held-out references", title_justify="left")
    rows = {"no adapter": numbers["no picture"], **numbers["image alone"]}
    _fill(alone, "adapter", rows, READ)
    both = Table(title="Shape from the text, colour and texture from the image", title_justify="left")
    rows = {
        f"{kind} {scale}": found
        for kind, scales in numbers["text and image"].items()
        for scale, found in scales.items()
    }
    _fill(both, "adapter, scale", rows, ("shape", *LOOK, "together"))
    text = Table(title="Text alone", title_justify="left")
    _fill(text, "", {"no adapter": numbers["text alone"]}, ("shape", *LOOK, "together"))
    return [alone, both, text]


def _fill(table: Table, first: str, rows: Mapping[str, Mapping[str, float]], columns: Sequence[str]) -> None:
    for heading in (first, *columns):
        table.add_column(heading)
    for name, found in rows.items():
        table.add_row(name, *(f"{found[column]:.1%}" for column in columns))


def main(
    count: Annotated[int, typer.Option(help="Held-out references.")] = 200,
    processes: Annotated[int, typer.Option(help="Processes; as many as there are cores, if 0.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go as JSON.")] = None,
) -> None:
    """Measure how far pictures follow the reference and the text."""
    numbers = measure(count, processes or os.cpu_count() or 1)
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    for table in tables(numbers):
        Console().print(table)


if __name__ == "__main__":
    typer.run(main)
