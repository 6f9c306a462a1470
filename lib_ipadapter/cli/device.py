"""Where a command computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lib_ipadapter.errors import HostError


def open_device(name: str | None) -> torch.device:
    """The device called `name`, else the best. Raises `HostError` when it is not there."""
    try:
        return torch.zeros(1, device=name or best_device()).device
    except torch.cuda.OutOfMemoryError:  # it is there, and full
        raise
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise HostError(f"There is no device {name!r} on this machine; the best here is {best_device()!r}.") from error


def best_device() -> str:
    """The fastest of what this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def within_memory() -> Iterator[None]:
    """While entered, a GPU that is full is a sentence. Raises `HostError`."""
    try:
        yield
    except torch.cuda.OutOfMemoryError:
        raise HostError(
            "The GPU has too little free memory for this; close what else uses it, ask for less, or say --device cpu."
        ) from None
