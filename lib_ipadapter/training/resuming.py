"""Going on from what was saved."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.training.saving import Position

LOG = logging.getLogger(__name__)


def load_state(state: Path, accelerator: Accelerator, position: Position, variant: Variant) -> None:
    """Weights, optimiser and `position` as `state` has them; says so where the run is told something else than before.

    Raises `TrainingError` for the state of another adapter than `variant`, and for a damaged one.
    """
    asked = replace(position)
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


def _warn_of_changes(state: Path, position: Position, asked: Position) -> None:
    """What is no longer the same."""
    changed = position.changed(asked)
    if {"seed", "data_hash"} & set(changed):
        LOG.warning(
            "The data, --holdout or --seed have changed since %s: the order of the data is a new one.", state.name
        )
    for name in [name for name in changed if name not in ("seed", "data_hash")]:
        was, now = (getattr(one, name) for one in (position, asked))
        LOG.warning("--%s has changed since %s, from %s to %s: the run goes on with it.", name, state.name, was, now)


def _misfit(state: Path, variant: Variant, error: Exception) -> str:
    """Why a state cannot be gone on from: torch names keys and sizes that the adapter does not have."""
    if any(sign in str(error) for sign in ("size mismatch", "Missing key", "Unexpected key")):
        return (
            f"{state} does not fit a {variant}, which is what the options ask for: give --kind, --tokens,"
            " --resampler-dim, --warm-start, --checkpoint and --encoder as config.json beside it has them, or another"
            " --output."
        )
    return f"{state} is damaged ({reason(error)}); delete it, and --resume goes on from the one before."
