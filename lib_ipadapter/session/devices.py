"""On the host's device, or, where the checkpoint has left no room there, on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

LOG = logging.getLogger("IP-Adapter")

FULL = ("out of memory", "not enough gpu video memory")
"""What Apple's and DirectML's devices say then."""

CPU = torch.device("cpu")

Made = TypeVar("Made")


def where_there_is_room(device: torch.device, make: Callable[[torch.device], Made], what: str) -> Made:
    """What `make` gives on `device`, or, slowly, on the CPU. `what`: has no room then, for the log."""
    try:
        return make(device)
    except RuntimeError as error:
        if not is_full(error):
            raise
        warn(what, device)
    return make(CPU)  # outside of `except`: the error would hold what has filled the device


def warn(what: str, device: torch.device) -> None:
    """Says why something takes long."""
    LOG.warning("IP-Adapter: no room for the %s on %s; it runs on the CPU this time.", what, device)


def is_full(error: RuntimeError) -> bool:
    """Whether it says that a device has no memory left: CUDA has a class for that, Apple's and DirectML words."""
    said = str(error).lower()
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(words in said for words in FULL)
