"""``python -m pocket.evaluate``: what the pocket model and its adapters do, judged on held-out scenes."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image
from rich.table import Table

from lib_ipadapter.model.variant import Kind
from pocket import halves, ship
from pocket.judge import accuracy, judge
from pocket.measuring import Processes, draw_all, filled, publish
from pocket.questions import HELD_OUT, LAYERS, READ, SCALES, WHEN, Task, tasks
from pocket.scenes import LOOK, SAID, sample_scene
from pocket.studio import KINDS


def look(task: Task, picture: Image.Image) -> dict[str, bool]:
    """Whether it shows what it should, by attribute."""
    return halves.look(picture, (task.scene, task.beside)) if task.beside else judge(picture).agrees(task.scene)


def measure(count: int, processes: int) -> dict[str, Any]:
    """All numbers, as shares from 0 to 1."""
    asked = tasks(count)
    pictures = draw_all([task.request for task in asked], processes)
    rows = [(task, look(task, picture)) for task, picture in zip(asked, pictures, strict=True)]
    lot = random.Random(HELD_OUT + 1)
    both = {kind.value: {f"{s:g}": _shares(rows, "text and image", kind, s) for s in SCALES} for kind in KINDS}
    return {
        "references": count,
        "weights": ship.contents(*KINDS),
        "judge": accuracy([sample_scene(lot) for _ in range(1000)]),
        "text alone": _shares(rows, "text alone"),
        "no picture": _shares(rows, "no picture"),
        "image alone": {kind.value: _shares(rows, "image alone", kind) for kind in KINDS},
        "text and image": both,
        "when": {group: _shares(rows, group, Kind.PLUS) for group in WHEN},
        "layers": {group: _shares(rows, group, Kind.PLUS) for group in LAYERS},
        "halves": {right.value: _half_shares(rows, right) for right in halves.Right},
    }


Row = tuple[Task, Mapping[str, bool]]


def _shares(rows: Iterable[Row], group: str, kind: Kind | None = None, scale: float = 1.0) -> dict[str, float]:
    """Of what was asked of a group, an adapter and a scale."""
    own = [row for row in rows if (row[0].group, row[0].request.kind, row[0].request.scale) == (group, kind, scale)]
    return _rates([found for _, found in own], own[0][0].asked)


def _rates(answers: Sequence[Mapping[str, bool]], names: Iterable[str]) -> dict[str, float]:
    """How often each is right, and all of shape, colour and texture together."""
    together = [all(found[name] for name in SAID) for found in answers]
    return {name: float(np.mean([found[name] for found in answers])) for name in names} | {
        "together": float(np.mean(together))
    }


def _half_shares(rows: Iterable[Row], right: halves.Right) -> dict[str, dict[str, float]]:
    """Of each half, and how often both have the look that they should have."""
    own = [found for task, found in rows if task.group == right.value]
    by_half = {half: [{name: found[f"{half} {name}"] for name in SAID} for found in own] for half in halves.HALVES}
    looks = [all(found[f"{half} {name}"] for half in halves.HALVES for name in LOOK) for found in own]
    return {half: _rates(found, SAID) for half, found in by_half.items()} | {"both": {"look": float(np.mean(looks))}}


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
        for half in halves.HALVES
    }
    return [
        filled(f"Image alone, scale 1, {count} held-out references", "adapter", alone, (*READ, "together")),
        filled("Shape from the text, colour and texture from the image", "adapter, scale", both, (*SAID, "together")),
        filled(f"Left half by a picture, {halves.KIND.value} {halves.SCALE}", "half", parts, (*SAID, "together")),
        filled("Text alone", "", {"no adapter": numbers["text alone"]}, (*SAID, "together")),
    ]


def main(
    count: Annotated[int, typer.Option(min=1, help="Held-out references.")] = 200,
    processes: Processes = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Where the numbers go as JSON.")] = None,
) -> None:
    """Measure how far pictures follow the reference and the text."""
    numbers = measure(count, processes)
    publish(numbers, tables(numbers), json_file)


if __name__ == "__main__":
    typer.run(main)
