"""Going on from what was saved."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.training.saving import Position

LOG = logging.getLogger(__name__)
WRAPPED = "module."
"""What torch puts before the names of weights that several processes train."""
DEEPSPEED, SCALER = "pytorch_model", "scaler.pt"
"""What accelerate calls DeepSpeed's folder and the loss scale's file in a state."""


def keep_names(accelerator: Accelerator) -> None:
    """States name weights as the adapter does, so that any number of processes may go on from them."""

    def rename(_: Sequence[nn.Module], weights: Sequence[dict[str, Tensor]], __: str) -> None:
        for named in weights:
            for key in [key for key in named if key.startswith(WRAPPED)]:
                named[key.removeprefix(WRAPPED)] = named.pop(key)

    def unwrap(models: list[nn.Module], _: str) -> None:
        models[:] = map(accelerator.unwrap_model, models)

    accelerator.register_save_state_pre_hook(rename)
    accelerator.register_load_state_pre_hook(unwrap)


def load_state(state: Path, accelerator: Accelerator, position: Position, variant: Variant) -> None:
    """Weights, optimiser and `position` as `state` has them; says so where the run is told something else than before.

    Raises `TrainingError` for the state of another adapter than `variant`, and for a damaged one.
    """
    asked = replace(position)
    _check_engine(state, accelerator)
    try:
        accelerator.load_state(str(state))
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # each of a state's files fails in a way of its own
        raise TrainingError(_misfit(state, variant, error)) from error
    # States are of whole steps; accelerate's count of batches is of the --accumulation that the run had then.
    accelerator.step = 0
    _warn_of_changes(state, position, asked)
    position.become(asked)


def _check_engine(state: Path, accelerator: Accelerator) -> None:
    """Raises `TrainingError` for a sound state that this run has no use for."""
    deepspeed = accelerator.state.deepspeed_plugin is not None
    if deepspeed != (state / DEEPSPEED).is_dir():
        raise TrainingError(
            f"{state} is of a run {'without' if deepspeed else 'with'} DeepSpeed; launch this one like that."
        )
    if accelerator.scaler is not None and not (state / SCALER).is_file():
        raise TrainingError(
            f"{state} is of a run that was not in fp16, and lacks the scale of its loss; give --precision bf16 or no."
        )


def _warn_of_changes(state: Path, position: Position, asked: Position) -> None:
    """What is no longer the same."""
    changed = position.changed(asked)
    if {"seed", "data_hash"} & set(changed):
        LOG.warning(
            "The data, --holdout or --seed have changed since %s: the order of the data is a new one.", state.name
        )
    for name in [name for name in changed if name not in ("seed", "data_hash")]:
        was, now = (getattr(one, name) for one in (position, asked))
        option = name.replace("_", "-")
        LOG.warning("--%s has changed since %s, from %s to %s: the run goes on with it.", option, state.name, was, now)


def _misfit(state: Path, variant: Variant, error: Exception) -> str:
    """Why a state cannot be gone on from: torch names keys and sizes that the adapter does not have."""
    if any(sign in str(error) for sign in ("size mismatch", "Missing key", "Unexpected key")):
        return (
            f"{state} does not fit a {variant}, which is what the options ask for: give --kind, --tokens,"
            " --resampler-dim, --warm-start, --checkpoint and --encoder as config.json beside it has them, or another"
            " --output."
        )
    return f"{state} is damaged ({reason(error)}); delete it, and --resume goes on from the one before."
