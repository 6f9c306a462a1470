"""Pictures spoilt by noise, as the opposite of a reference: the four kinds of the peer that has them.

The arithmetic is that of cubiq/ComfyUI_IPAdapter_plus@9d076a3 IPAdapterPlus.py:1469-1528. Different here: the numbers
are drawn from a generator of their own, seeded by the picture's content, so nobody else's random numbers change.
"""

from __future__ import annotations

import math
from enum import Enum

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lib_ipadapter.model.picture import as_rgb, content_hash

DISPLACEMENT = 37.5
"""Pixels by which ``shuffle`` moves a pixel at most, before its field is smoothed."""


class NoiseKind(str, Enum):
    """How a picture is spoilt."""

    FADE = "fade"
    """Into even noise."""
    DISSOLVE = "dissolve"
    """As many values as the strength says are replaced by even noise."""
    GAUSSIAN = "gaussian"
    """Added noise."""
    SHUFFLE = "shuffle"
    """Turned upside down, torn about, and noisy: the palette without the things."""


def spoilt(view: Image.Image, kind: NoiseKind, strength: float) -> Image.Image:
    """`view` with noise of `strength`, 0 to 1. The same view gives the same picture."""
    pixels = torch.from_numpy(np.array(as_rgb(view), dtype=np.float32) / 255).permute(2, 0, 1)
    lot = torch.Generator().manual_seed(int(content_hash(view)[:15], 16))
    even, normal = torch.rand(pixels.shape, generator=lot), torch.randn(pixels.shape, generator=lot)
    match kind:
        case NoiseKind.FADE:
            found = pixels * (1 - strength) + even * strength
        case NoiseKind.DISSOLVE:
            found = torch.where(torch.rand(pixels.shape, generator=lot) < strength, even, pixels)
        case NoiseKind.GAUSSIAN:
            found = pixels + normal * strength
        case NoiseKind.SHUFFLE:
            grain = normal * strength * 0.75
            found = torn(pixels, (1 - strength) * 3.5, lot).flip(1, 2) * (1 - grain) + grain
    array = (found.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous()
    return Image.fromarray(array.numpy())


def torn(pixels: Tensor, sigma: float, lot: torch.Generator) -> Tensor:
    """``[3, height, width]``, each pixel taken from elsewhere; `sigma`: pixels over which neighbours move together."""
    height, width = pixels.shape[1:]
    field = torch.rand(2, 1, height, width, generator=lot) * 2 - 1
    moved = smoothed(field, sigma)[:, 0] * DISPLACEMENT
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = columns + moved[0], rows + moved[1]
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], dim=-1)
    return F.grid_sample(pixels[None], grid[None], align_corners=False)[0]


def smoothed(field: Tensor, sigma: float) -> Tensor:
    """``[n, 1, height, width]`` after a Gaussian blur of `sigma` pixels; as it is below a tenth of one."""
    if sigma < 0.1:
        return field
    reach = math.ceil(4 * sigma)
    bell = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    bell /= bell.sum()
    padded = F.pad(field, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, bell[None, None, None]), bell[None, None, :, None])
