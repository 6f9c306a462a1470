"""Which examples are trained on, and which are kept for evaluation."""

from __future__ import annotations

from collections.abc import Sequence

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import TrainConfig


def divide(examples: Sequence[Example], config: TrainConfig) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and to evaluate on; the same ones where there are too few to keep some back.

    Contents choose and not the seed: a run that goes on from the adapter of another is not shown what that one saw.
    A picture is on one side with all of its captions and references. Raises `TrainingError` where nothing is left.
    """
    count = min(64, len(examples) // 20) if config.holdout is None else config.holdout
    order = sorted(range(len(examples)), key=lambda i: examples[i].identity)
    pictures = [examples[i].image_hash for i in order]
    while 0 < count < len(order) and pictures[count] == pictures[count - 1]:
        count += 1
    if count >= len(examples) and config.holdout is None:
        count = 0
    if count >= len(examples):
        raise TrainingError(
            f"--holdout {config.holdout} leaves nothing to train on: there are {len(examples)} usable entries, of"
            f" {len(set(pictures))} pictures."
        )
    held = [examples[i] for i in order[:count]] or [examples[i] for i in order[:64]]
    return [examples[i] for i in sorted(order[count:])], held
