"""How strong the image branch is: when, in which layer, and in which layer when."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from lib_ipadapter.maths.curves import Curve
from lib_ipadapter.maths.structure import Structure


@dataclass(frozen=True)
class Schedule:
    """The part of the sampling during which a unit acts, as fractions of its steps, and its strength over them."""

    start: float = 0.0
    end: float = 1.0
    curve: Curve = field(default_factory=Curve)

    @property
    def empty(self) -> bool:
        """No moment of any sampling lies in the range, or the curve is 0 in all of it."""
        return self.start >= self.end or self.curve.silent(self.start, self.end)

    def at(self, progress: float) -> bool:
        """Whether the unit acts. `progress`: steps done / steps in all, 0 at the first step.

        The start belongs to the range and the end does not, so that 0 to 0.5 and 0.5 to 1 share no step;
        an end of 1 has no limit, because adaptive samplers may take more steps than announced.
        """
        return self.factor(progress) != 0.0

    def factor(self, progress: float) -> float:
        """The curve inside the range and 0 outside it."""
        inside = self.start <= progress and (progress < self.end or self.end >= 1.0) and self.start < self.end
        return self.curve.at(progress) if inside else 0.0


@dataclass(frozen=True)
class Grid:
    """A factor for each layer and part of the sampling; without rows 1 everywhere.

    `rows`: from the first to the last layer in run order, as many as one likes. A row's numbers hold for equal parts of
    the steps, and a row for an equal part of the UNet's blocks; as many rows as layers are one each.
    """

    rows: tuple[tuple[float, ...], ...] = ()

    def at(self, layer: int, structure: Structure, progress: float) -> float:
        """The factor. `layer`: in run order."""
        if not self.rows:
            return 1.0
        row = self.rows[self._row(layer, structure)]
        # Step 29 of 100 is 28.999... hundredths.
        return row[min(int(progress * len(row) + 1e-6), len(row) - 1)]

    @property
    def empty(self) -> bool:
        """Nothing but zeros."""
        return bool(self.rows) and not any(map(any, self.rows))

    def _row(self, layer: int, structure: Structure) -> int:
        if len(self.rows) == structure.layers:
            return layer
        return int((structure.block_of[layer] + 0.5) * len(self.rows) / structure.blocks)


@dataclass(frozen=True)
class LayerScales:
    """How strong a unit is in each layer, before its schedule."""

    scales: tuple[float, ...]
    """Of each layer, in run order."""
    structure: Structure
    grid: Grid = field(default_factory=Grid)

    def at(self, layer: int, progress: float) -> float:
        """`layer`: in run order."""
        return self.scales[layer] * self.grid.at(layer, self.structure, progress)

    def acts(self, progress: float) -> bool:
        """Whether any layer has a scale other than 0. Asked thousands of times in a step of a LoRA."""
        return any(self.grid.at(layer, self.structure, progress) for layer in self._strong)

    @cached_property
    def _strong(self) -> tuple[int, ...]:
        return tuple(layer for layer, scale in enumerate(self.scales) if scale)
