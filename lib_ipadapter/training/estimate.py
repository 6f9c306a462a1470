"""How much memory and time a run will take, said before its first step."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import Frozen

PER_TRAINED = 16
"""Bytes per trained number: weight, gradient and AdamW's two moments, all in float32."""
PATIENCE = 10.0
"""Seconds; a step that takes longer is not tried twice."""


@dataclass(frozen=True)
class Estimate:
    """Bytes and seconds."""

    frozen: int
    trained: int
    cached: int
    measured: int
    """Most that was taken on the device in one step; zero where the device does not tell."""
    seconds: float
    """Of the steps that are left, from what one took."""

    def __str__(self) -> str:
        steps = f"{_gib(self.measured)} at the peak of a step (measured), " if self.measured else ""
        return (
            f"Memory: {_gib(self.frozen)} frozen UNet, {_gib(self.trained)} trained weights with gradients and AdamW,"
            f" {steps}{_gib(self.cached)} of cache in RAM. Time: {_hours(self.seconds)} at the speed of one step."
        )


def estimate(
    *,
    frozen: Frozen,
    trained: nn.Module,
    loss: Callable[[], Tensor],
    cached: int,
    steps: int,
    config: TrainConfig,
    resumed: bool,
) -> Estimate:
    """Tries one step without changing anything. `loss` gives the loss of a batch. Raises `TrainingError`."""
    numbers = sum(parameter.numel() for parameter in trained.parameters())
    try:
        seconds, measured = _try(loss, list(trained.parameters()), frozen.device)
    except torch.cuda.OutOfMemoryError as error:
        free, total = torch.cuda.mem_get_info(frozen.device)
        raise TrainingError(
            f"A step with batch size {config.batch_size} does not fit into {_gib(total)} of GPU memory ({_gib(free)}"
            " free): give a smaller --batch-size with more --accumulation, or --gradient-checkpointing."
        ) from error
    return Estimate(
        frozen=frozen.nbytes,
        trained=numbers * PER_TRAINED,
        cached=cached,
        # AdamW's moments are made at the first step, which this was not; a run that goes on has brought them.
        measured=measured + numbers * 8 if measured and not resumed else measured,
        seconds=seconds * config.accumulation * steps,
    )


def _try(loss: Callable[[], Tensor], parameters: list[Tensor], device: torch.device) -> tuple[float, int]:
    """Seconds and bytes of one step. Gradients are returned and dropped: nothing is kept, no other process waits."""
    seconds = 0.0
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)  # encoding came before, and may have taken more than any step
    for _ in range(2):
        begun = time.perf_counter()
        torch.autograd.grad(loss(), parameters)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - begun
        if seconds > PATIENCE:
            break
    return seconds, torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**29 else f"{count / 2**20:.0f} MiB"


def _hours(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"
