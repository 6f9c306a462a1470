"""Computing in the dtype that was asked for, whatever the host has switched on around us."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """Switches a host's autocast off. A device for which this torch knows no autocast (MPS, DirectML) needs nothing."""
    try:
        return torch.autocast(device.type, enabled=False)
    except (RuntimeError, AssertionError):
        return nullcontext()


def visiting(weight: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A stored weight for one computation, on its device and in its dtype; itself when nothing changes.

    Floats of eight bits are widened before they travel: not every device has them (Apple's has not).
    """
    return (weight.to(dtype) if weight.element_size() == 1 else weight).to(device, dtype)


def finite(*tensors: Tensor) -> bool:
    """No value is infinite, and each is a number. Floats of eight bits are widened: torch cannot ask that of them."""
    return all(bool((t.float() if t.element_size() == 1 else t).isfinite().all()) for t in tensors)
