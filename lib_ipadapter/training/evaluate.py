"""Is it learning? The loss with the right reference against the loss with somebody else's: their gap is the signal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lib_ipadapter.training.cache import batches
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.objective import Batches, losses
from lib_ipadapter.training.stream import Draw, Drop

FIRST = 1 << 62
"""Number of the first row of every evaluation: noise that training does not reach, and always the same."""


@dataclass(frozen=True)
class Gap:
    """Mean losses over the same rows, noise and timesteps."""

    right: float
    shuffled: float

    @property
    def scalars(self) -> dict[str, float]:
        """For the curves."""
        return {
            "reference/right": self.right,
            "reference/shuffled": self.shuffled,
            "reference/gap": self.shuffled - self.right,
        }


@torch.no_grad()
def measure(source: Batches, conditioner: Conditioner, injection: Injection, size: int) -> Gap:
    """Over all of `source`, with timesteps spread evenly. `size`: rows at once."""
    right, shuffled = [], []
    draws = spread(len(source.examples), source.stream.timesteps)
    references = others_of([example.reference_hash for example in source.examples])
    for some in batches(list(zip(draws, references, strict=True)), size):
        batch = source.make([draw for draw, _ in some])
        others = [source.cache.features.get(reference)["features"] for _, reference in some]
        swapped = {**batch.given, "features": torch.stack(others).to(source.frozen.device)}
        for found, given in ((right, batch.given), (shuffled, swapped)):
            key_values = conditioner(given["features"].float())
            found.append(losses(source.frozen, injection, key_values, replace(batch, given=given)))
    return Gap(*(mean(found) for found in (right, shuffled)))


def others_of(references: Sequence[str]) -> list[str]:
    """For each reference the next one that is another picture; itself where there is no other."""
    ring = [*references, *references]
    return [next((r for r in ring[i:] if r != own), own) for i, own in enumerate(references)]


def spread(rows: int, timesteps: int) -> list[Draw]:
    """One row per example; the examples have no order, so neighbours may have neighbouring timesteps."""
    return [Draw(FIRST + i, i, int((i + 0.5) / rows * timesteps), Drop.NONE) for i in range(rows)]


def mean(parts: list[Tensor]) -> float:
    """Of all rows."""
    return float(torch.cat(parts).mean())
