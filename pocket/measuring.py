"""What every measurement does: pictures drawn in several processes, and the numbers as tables and JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from pocket.memory import Memory
from pocket.request import ROOT, Request, batches, draw_batch
from pocket.studio import Studio

MEMORY = ROOT / "outputs" / "pocket" / "drawn"

Processes = Annotated[int, typer.Option(min=0, help="Processes; as many as there are cores, if 0.")]


@cache
def studio() -> Studio:
    """The one of this process."""
    torch.set_num_threads(1)  # one process per core
    return Studio()


def perform(batch: Sequence[Request]) -> list[Image.Image]:
    """In a process of its own."""
    return draw_batch(studio(), batch)


def draw_all(wanted: Collection[Request], processes: int) -> Iterator[Image.Image]:
    """The picture of each, in their order; what `MEMORY` knows is not drawn again.

    `processes`: as many as there are cores, if 0.
    """
    memory = Memory(MEMORY)
    keys = {request: memory.key(request, request.files) for request in wanted}
    new = batches(request for request, key in keys.items() if not memory.known(key))
    with ProcessPoolExecutor(processes or os.cpu_count() or 1, get_context("spawn")) as pool:
        pictures = chain.from_iterable(pool.map(perform, new))
        drawn = tqdm(pictures, "drawing", sum(map(len, new)), unit="picture")
        try:
            for request, picture in zip(chain.from_iterable(new), drawn, strict=True):
                memory.keep(keys[request], picture)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the rest would be drawn first, and thrown away
            raise
    return (memory.picture(keys[request]) for request in wanted)


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
