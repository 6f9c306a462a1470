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

    It travels as narrow as it may: torch alone would widen it first. Floats of eight bits, and but for NVIDIA's devices
    those of bfloat16, are widened before: not every device has them (Apple's has not, or not always).
    """
    if weight.element_size() == 1:
        weight = weight.to(dtype)
    elif weight.element_size() < dtype.itemsize and (weight.dtype is torch.float16 or device.type == "cuda"):
        weight = weight.to(device)
    return weight.to(device, dtype)


def finite(*tensors: Tensor) -> bool:
    """No value is infinite, and each is a number. Floats of eight bits are widened: torch cannot ask that of them."""
    return all(bool((t.float() if t.element_size() == 1 else t).isfinite().all()) for t in tensors)
