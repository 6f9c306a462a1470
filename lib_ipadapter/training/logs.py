"""The curves: TensorBoard, and the same numbers as lines of JSON."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.stream import Draw, Drop

LOG = logging.getLogger(__name__)
BUCKETS = 5
"""Parts into which the timesteps are divided for curves of their own."""
NAMED = 8
"""Rows that a message names."""


class Curves:
    """Writes numbers by step. After a resume, what lies beyond the state's step is forgotten."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _lines(self.path) if _step(line) <= step]
        self.path.write_text("".join(kept), encoding="utf-8")
        self.samples = folder / "samples"
        self.writer = _tensorboard(folder / "tensorboard", step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step that is done."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")
        for name, value in values.items() if self.writer else ():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, image: Image.Image) -> None:
        """A sample grid."""
        self.samples.mkdir(exist_ok=True)
        image.save(self.samples / f"{step:08d}.png")
        if self.writer:
            self.writer.add_image("samples", np.asarray(image), step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is waiting."""
        if self.writer:
            self.writer.close()


@dataclass
class Window:
    """The steps since the last point of the curves, kept on the device: reading a number makes the device wait."""

    losses: list[Tensor] = field(default_factory=list)
    """Per step ``[batches, rows]``."""
    norms: list[Tensor] = field(default_factory=list)
    """Per step the gradient's norm; some may be infinite where the loss is scaled."""
    dropped: Counter[Drop] = field(default_factory=Counter)
    """Rows since the run (or its resumption) began."""

    def add(self, losses: Sequence[Tensor], norm: Tensor) -> None:
        """One optimiser step."""
        self.losses.append(torch.stack(list(losses)))
        self.norms.append(norm)

    def close(self, losses: Tensor, draws: Sequence[Draw], timesteps: int) -> dict[str, float]:
        """The points of the curves. `losses`: those of all processes, one per draw, on the CPU."""
        self.dropped.update(draw.drop for draw in draws)
        seen = sum(self.dropped.values())
        norms = torch.stack([norm.float().cpu() for norm in self.norms])
        self.losses.clear()
        self.norms.clear()
        finite = norms[norms.isfinite()]
        return {
            "loss/all": float(losses.mean()),
            **by_bucket(losses, draws, timesteps),
            "grad_norm": float(finite.mean()) if len(finite) else math.nan,
            **{f"dropped/{d.value}": self.dropped[d] / seen for d in Drop if d is not Drop.NONE},
        }


def by_bucket(losses: Tensor, draws: Sequence[Draw], timesteps: int) -> dict[str, float]:
    """Mean loss of each part of the timesteps; parts without a row are left out."""
    parts = torch.tensor([draw.timestep * BUCKETS // timesteps for draw in draws])
    edges = [part * timesteps // BUCKETS for part in range(BUCKETS + 1)]
    return {
        f"loss/t{edges[part]:03d}-{edges[part + 1] - 1:03d}": float(losses[parts == part].mean())
        for part in sorted(set(parts.tolist()))
    }


def check_finite(
    losses: Tensor, draws: Sequence[Draw], names: Sequence[str], *, since: int, rows: int, norms: Tensor | None = None
) -> None:
    """Raises `TrainingError` that names the first step, and its rows, whose loss or gradient is not a number.

    `since`: steps done before the first of these rows. `rows`: of one step. `norms`: of each step's gradient, where
    none may be infinite; after such a step every loss is no number, whatever its rows.
    """
    bad = ~losses.isfinite()
    long = torch.zeros(0, dtype=torch.bool) if norms is None else ~norms.isfinite()
    first = min([*(bad.nonzero().flatten() // rows).tolist(), *long.nonzero().flatten().tolist()], default=None)
    if first is None:
        return
    own = range(first * rows, min((first + 1) * rows, len(draws)))
    named = [i for i in own if bad[i]] or list(own)
    what = "loss" if bad[list(own)].any() else "gradient"
    found = ", ".join(f"{names[i]} (timestep {draws[i].timestep})" for i in named[:NAMED])
    more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
    raise TrainingError(
        f"The {what} is not a number in step {since + first + 1}, for {found}{more}: look at these entries, or"
        " give a lower --learning-rate or --max-grad-norm 1; nothing was saved since, so --resume goes on from before."
    )


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:  # the run ended while it was being written
        return math.inf


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - not everybody has it
    except ImportError:
        LOG.warning("tensorboard is not installed: the curves are in metrics.jsonl only (pip install tensorboard).")
        return None
    for old in folder.glob("events.out.tfevents.*") if not step else ():
        old.unlink()  # of a run that ended before its first save
    return SummaryWriter(str(folder), purge_step=step or None)
