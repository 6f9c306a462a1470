"""What every measurement does: pictures drawn in several processes, and the numbers as tables and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from pocket import ship
from pocket.memory import Memory
from pocket.studio import Studio

ROOT = Path(__file__).parents[1]
ROOMS = ("maths", "model", "patch", "session", "hosts")
"""Of the package, by which pictures are made; nobody's panel changes what a judge sees."""
CODE = (
    *(path for room in ROOMS for path in sorted((ROOT / "lib_ipadapter" / room).rglob("*.py"))),
    *(ROOT / "pocket" / f"{name}.py" for name in ("draw", "halves", "scenes", "studio")),
    ship.CHECKPOINT.with_suffix(".yaml"),
    ship.ENCODER / "config.json",
)
"""What makes pictures besides weights: after a change nothing is taken from the memory."""
MEMORY = ROOT / "outputs" / "pocket" / "drawn"

BATCH = 4
"""Pictures that are drawn together: four take half of the time that they take one by one, and more gain nothing."""

Task = TypeVar("Task")


@cache
def studio() -> Studio:
    """The one of this process."""
    torch.set_num_threads(1)  # one process per core
    return Studio()


def draw_all(
    wanted: Sequence[Task],
    perform: Callable[[Sequence[Task]], list[Image.Image]],
    *,
    key: Callable[[Memory, Task], str],
    alike: Callable[[Task], Hashable],
    processes: int,
) -> Iterator[tuple[Task, Image.Image]]:
    """Each task with its picture; what `MEMORY` knows by its key is not drawn again.

    `perform` gets tasks that are `alike`, a few at once, in processes of its own: as many as there are cores, if
    `processes` is 0.
    """
    memory = Memory(MEMORY)
    keys = {task: key(memory, task) for task in wanted}
    new = batches([task for task in wanted if not memory.known(keys[task])], alike)
    with ProcessPoolExecutor(processes or os.cpu_count() or 1, get_context("spawn")) as pool:
        pictures = chain.from_iterable(pool.map(perform, new))
        drawn = tqdm(pictures, "drawing", sum(map(len, new)), unit="picture")
        for task, picture in zip(chain.from_iterable(new), drawn, strict=True):
            memory.keep(keys[task], picture)
    return ((task, memory.picture(keys[task])) for task in wanted)


def batches(tasks: Iterable[Task], alike: Callable[[Task], Hashable]) -> list[list[Task]]:
    """Those that are drawn together, at most `BATCH`."""
    found: dict[Hashable, list[Task]] = {}
    for task in tasks:
        found.setdefault(alike(task), []).append(task)
    return [own[start : start + BATCH] for own in found.values() for start in range(0, len(own), BATCH)]


def filled(
    title: str, first: str, rows: Mapping[str, Mapping[str, float]], columns: Sequence[str], form: str = ".1%"
) -> Table:
    """A table of shares, `first` being the heading of their names."""
    table = Table(title=title, title_justify="left")
    for heading in (first, *columns):
        table.add_column(heading)
    for name, found in rows.items():
        table.add_row(name, *(format(found[column], form) for column in columns))
    return table


def publish(numbers: Mapping[str, Any], tables: Iterable[Table], json_file: Path | None) -> None:
    """To a file, where one is wanted, and to the terminal."""
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    for table in tables:
        Console().print(table)
