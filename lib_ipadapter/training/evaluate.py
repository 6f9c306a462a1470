"""Is it learning? The loss with the right reference against the loss with somebody else's: their gap is the signal.

And is the text still followed? The same with somebody else's caption.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lib_ipadapter.training.cache import batches, stacked, text_key
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.objective import Batches, losses
from lib_ipadapter.training.stream import Draw, Drop

FIRST = 1 << 62
"""Number of the first row of every evaluation: rows that training does not reach, and always the same."""


@dataclass(frozen=True)
class Gap:
    """Mean losses over the same rows, noise and timesteps."""

    right: float
    shuffled: float
    """With another reference."""
    renamed: float
    """With another caption."""

    @property
    def scalars(self) -> dict[str, float]:
        """For the curves."""
        return {
            "reference/right": self.right,
            "reference/shuffled": self.shuffled,
            "reference/gap": self.shuffled - self.right,
            "text/shuffled": self.renamed,
            "text/gap": self.renamed - self.right,
        }


@torch.no_grad()
def measure(source: Batches, conditioner: Conditioner, injection: Injection, size: int) -> Gap:
    """Over all of `source`, with timesteps spread evenly. `size`: rows at once."""
    examples, cache, device = source.examples, source.cache, source.frozen.device
    right, shuffled, renamed = [], [], []
    draws = spread(len(examples), source.stream.timesteps)
    pictures = [example.image_hash for example in examples]
    references = others_of([example.reference_hash for example in examples], pictures)
    texts = others_of([example.entry.text for example in examples], pictures)
    for some in batches(list(zip(draws, references, texts, strict=True)), size):
        batch = source.make([draw for draw, *_ in some])
        swapped = batch.given | stacked([cache.features.get(reference) for _, reference, _ in some], device)
        told = batch.given | stacked([cache.texts.get(text_key(text)) for *_, text in some], device)
        for found, given in ((right, batch.given), (shuffled, swapped), (renamed, told)):
            found.append(losses(source.frozen, injection, conditioner, replace(batch, given=given)))
    return Gap(*(mean(found) for found in (right, shuffled, renamed)))


def others_of(given: Sequence[str], pictures: Sequence[str]) -> list[str]:
    """For each reference or caption the next one that is another.

    Of another picture, because a second caption of the same one is right as well; if need be, of the same; itself where
    there is no other.
    """
    ring = [*zip(given, pictures, strict=True)] * 2
    found = []
    for i, (own, picture) in enumerate(ring[: len(given)]):
        others = [(one, of) for one, of in ring[i:] if one != own]
        found.append(next((one for one, of in others if of != picture), others[0][0] if others else own))
    return found


def spread(rows: int, timesteps: int) -> list[Draw]:
    """One row per example; the examples have no order, so neighbours may have neighbouring timesteps."""
    return [Draw(FIRST + i, i, int((i + 0.5) / rows * timesteps), Drop.NONE) for i in range(rows)]


def mean(parts: list[Tensor]) -> float:
    """Of all rows."""
    return float(torch.cat(parts).mean())
