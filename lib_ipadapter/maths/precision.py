"""Computing in the dtype that was asked for, whatever the host has switched on around us."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switches a host's autocast off. A device for which this torch knows no autocast (MPS, DirectML) needs nothing."""
    try:
        return torch.autocast(device.type, enabled=False)
    except (RuntimeError, AssertionError):
        return nullcontext()
