"""A step that is recorded once and then replayed: launching its kernels can be most of what a small model's costs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.objective import Batch


class RowLosses(nn.Module):
    """From the tensors of a batch to the loss of each row: what is recorded, with what is trained in it."""

    def __init__(self, trained: nn.Module, losses: Callable[[Batch], Tensor], like: Batch) -> None:
        super().__init__()
        self.trained = trained
        self._losses = losses
        self._names = list(like.given)

    def tensors(self, batch: Batch) -> tuple[Tensor, ...]:
        """As `forward` takes them."""
        return batch.latents, batch.target, batch.timesteps, *(batch.given[name] for name in self._names)

    def forward(self, latents: Tensor, target: Tensor, timesteps: Tensor, *given: Tensor) -> Tensor:
        """``[rows]``."""
        named = dict(zip(self._names, given, strict=True))
        made = {"latents": latents, "target": target, "timesteps": timesteps}
        # What each row counts comes afterwards.
        return self._losses(Batch(draws=(), given=named, **made, alphas=latents.new_zeros(0)))


def recorded(trained: nn.Module, losses: Callable[[Batch], Tensor], like: Batch) -> Callable[[Batch], Tensor]:
    """`losses` of batches shaped as `like`, forward and backward each one launch (CUDA graphs).

    Nothing else may use the device while it is recorded. The gradients of a replay are written where those of the one
    before are: they must have been used by then, so that they cannot be accumulated over batches. Raises
    `TrainingError` for want of memory.
    """
    step = RowLosses(trained, losses, like)
    try:
        torch.cuda.make_graphed_callables(step, step.tensors(like))
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"A step of {len(like.latents)} rows cannot be recorded in the memory that the GPU has left: give a smaller"
            " --batch-size, or leave --cuda-graph out."
        ) from error
    return lambda batch: step(*step.tensors(batch)).clone()  # the next replay writes over what this one gave
