"""How the rows of the stream are divided into steps, batches and processes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Share:
    """Which rows of the stream a step has, and which of them are this process's."""

    batch: int
    accumulation: int
    processes: int
    process: int

    @property
    def rows(self) -> int:
        """Of one optimiser step, all processes together."""
        return self.batch * self.accumulation * self.processes

    def own(self, first: int) -> list[range]:
        """Numbers of this process's rows, batch by batch; the step's rows begin with `first`."""
        starts = range(first, first + self.rows, self.batch * self.processes)
        return [range(start + self.process * self.batch, start + (self.process + 1) * self.batch) for start in starts]
