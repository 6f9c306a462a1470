"""The endless row of examples: everything random about the n-th one follows from the seed and n alone.

So the order of the data and its noise are the same however the rows are divided into batches and processes, and a run
that goes on from n continues bit for bit, with no generator's state to be kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

import torch
from torch import Tensor

from lib_ipadapter.training.config import TrainConfig

_MASK = (1 << 64) - 1


class Drop(str, Enum):
    """What a row is not shown (paper, section 3.2.3)."""

    NONE = "none"
    TEXT = "text"
    IMAGE = "image"
    BOTH = "both"


@dataclass(frozen=True)
class Draw:
    """The n-th row."""

    number: int
    example: int
    """Position among the examples."""
    timestep: int
    drop: Drop


@dataclass
class Stream:
    """Rows by number. Every example comes once per epoch, in an order that each epoch draws anew.

    Not to be shared between threads: it has one generator, and remembers one epoch's order.
    """

    seed: int
    examples: int
    timesteps: int
    drops: tuple[tuple[Drop, float], ...] = ()
    _epoch: int = field(default=-1, init=False)
    _order: list[int] = field(default_factory=list, init=False)
    _generator: torch.Generator = field(default_factory=torch.Generator, init=False)

    @classmethod
    def of(cls, config: TrainConfig, examples: int, timesteps: int) -> Stream:
        """As a configuration says."""
        drops = ((Drop.IMAGE, config.drop_image), (Drop.TEXT, config.drop_text), (Drop.BOTH, config.drop_both))
        return cls(config.seed, examples, timesteps, drops)

    def draw(self, number: int) -> Draw:
        """What row `number` is."""
        example = self._example(number)  # first, because a new epoch seeds the generator for itself
        generator = self._seeded(1, number)
        timestep = int(torch.randint(self.timesteps, (), generator=generator))
        return Draw(number, example, timestep, self._drop(float(torch.rand((), generator=generator))))

    def noise(self, numbers: Sequence[int], shape: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Two normal draws per row, each ``[rows, *shape]``: of the latent itself, and of the noise on it."""
        rows = [torch.randn(2, *shape, generator=self._seeded(2, number)) for number in numbers]
        return tuple(torch.stack(rows, dim=1))  # pyright: ignore[reportReturnType]

    def _example(self, number: int) -> int:
        epoch, position = divmod(number, self.examples)
        if epoch != self._epoch:
            self._order = torch.randperm(self.examples, generator=self._seeded(3, epoch)).tolist()
            self._epoch = epoch
        return self._order[position]

    def _drop(self, chance: float) -> Drop:
        for drop, probability in self.drops:
            if chance < probability:
                return drop
            chance -= probability
        return Drop.NONE

    def _seeded(self, purpose: int, number: int) -> torch.Generator:
        return self._generator.manual_seed(_mixed(self.seed * 4 + purpose, number))


def _mixed(seed: int, number: int) -> int:
    """Two numbers to one that looks random (splitmix64): generators with neighbouring seeds begin alike.

    Of its 64 bits torch's generator takes 32: of the 64 million rows of the paper some 1.5 % share another one's noise,
    with another picture and timestep.
    """
    value = (_mix(seed) + number) & _MASK
    return _mix(value)


def _mix(value: int) -> int:
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
