"""What the steps since the last point of the curves have brought."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.stream import Draw, Drop

BUCKETS = 5
"""Parts into which the timesteps are divided for curves of their own."""
SKIPPED = 40
"""Steps that a loss scale may leave out before it should have found its value: it begins at 2**16 and halves."""
NAMED = 8
"""Rows that a message names."""


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
        " give a lower --learning-rate or --max-grad-norm 1; --resume goes on from the last save, if there is one."
    )


def check_scaled(norms: Tensor) -> None:
    """Of steps whose loss is scaled. Raises `TrainingError` where the scale finds no value at which one is finite."""
    if len(norms) >= SKIPPED and not norms.isfinite().any():
        raise TrainingError(
            f"Of the last {len(norms)} steps none had a gradient that fp16 can hold, so that nothing was learnt;"
            " give --precision bf16 or no, or a lower --learning-rate."
        )
