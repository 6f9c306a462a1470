"""What is measured between the steps, for the curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.evaluate import measure
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.logs import Curves
from lib_ipadapter.training.objective import Batches
from lib_ipadapter.training.samples import Samples
from lib_ipadapter.training.saving import Position
from lib_ipadapter.training.share import Share
from lib_ipadapter.training.window import Window, check_finite, check_scaled


@dataclass
class Measurements:
    """Losses and norms since the last look; the held-out gap and the sample grid, which the first process makes."""

    config: TrainConfig
    accelerator: Accelerator
    source: Batches
    share: Share
    held_out: Batches
    samples: Samples
    window: Window = field(default_factory=Window)

    def add(self, losses: Sequence[Tensor], norm: Tensor) -> None:
        """One optimiser step: the rows' losses, batch by batch, and the norm of the gradient."""
        self.window.add(losses, norm)

    def numbers(self, position: Position, since: int) -> dict[str, float]:
        """Of the steps from `since` to `position`, and closes the window.

        Raises `TrainingError` when one is not a number. All processes call it.
        """
        own = torch.stack(self.window.losses)
        everyone: Any = self.accelerator.gather(own)
        # [process, step, batch, row] to the order of the stream.
        found = everyone.unflatten(0, (self.share.processes, -1)).movedim(0, 2).flatten().cpu()
        draws = [self.source.stream.draw(number) for number in range(position.rows - len(found), position.rows)]
        norms: Tensor | None = torch.stack([norm.float().cpu() for norm in self.window.norms])
        if self.accelerator.scaler:  # a gradient that is too long is expected then, and its step left out
            check_scaled(norms)
            norms = None
        check_finite(found, draws, self.source.names(draws), since=since, rows=self.share.rows, norms=norms)
        return self.window.close(found, draws, self.source.stream.timesteps)

    def look(self, step: int, curves: Curves, conditioner: Conditioner, injection: Injection) -> None:
        """What takes a while, where it is due."""
        if self.config.due(step, self.config.eval_every):
            curves.scalars(step, measure(self.held_out, conditioner, injection, self.config.batch_size).scalars)
        if self.config.sample_every and self.samples.examples and self.config.due(step, self.config.sample_every):
            picture, alike = self.samples.grid(conditioner, injection)
            curves.picture(step, picture)
            curves.scalars(step, alike)
