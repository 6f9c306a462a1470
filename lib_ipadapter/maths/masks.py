"""A region mask on the tokens of each cross-attention layer, by the UNet's own arithmetic.

``Z = Attention(Q, K, V) + scale * M * Attention(Q, K', V')``: M is 1 where the image prompt acts, 0 where it does not.
Each level of a UNet halves the latent picture by a convolution of stride 2 with padding 1, which rounds up; the cell
in row i of level n therefore lies over the latent rows from i * 2^n on, also where the last one runs over the edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.maths.shapes import Float

Size = tuple[int, int]
"""Height and width."""


BLOCK = 512
"""Rows of a mask that are widened at once: one of 64 megapixels would take half a gigabyte."""


@dataclass(frozen=True)
class Box:
    """A part of a picture, in fractions of its width and height; what lies beyond its edges repeats them."""

    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def inside(self, outer: Box) -> Box:
        """Of a part of what `outer` shows: where that is in the picture that `outer` itself is a part of."""
        wide, high = outer.right - outer.left, outer.bottom - outer.top
        return Box(
            outer.left + self.left * wide,
            outer.top + self.top * high,
            outer.left + self.right * wide,
            outer.top + self.bottom * high,
        )


WHOLE = Box()


def levels(latent_size: Size) -> Iterator[Size]:
    """The sizes of a UNet's levels, the latent picture's own first, down to a single cell."""
    height, width = latent_size
    yield height, width
    while (height, width) != (1, 1):
        height, width = -(-height // 2), -(-width // 2)
        yield height, width


def level_of(latent_size: Size, tokens: int) -> int | None:
    """Number of the level that has so many tokens; None where none has. No two levels have the same number."""
    found = (level for level, (height, width) in enumerate(levels(latent_size)) if height * width == tokens)
    return next(found, None)


def token_mask(
    mask: Float[Tensor, "height width"], latent_size: Size, tokens: int, box: Box = WHOLE
) -> Float[Tensor, " tokens"]:
    """The share of each token's cell that the mask covers, row by row: 1 where it covers all, 0 where nothing.

    `mask`: 0 to 1, of any size; `box`: the part of it that the latent picture shows.
    `tokens` must be those of a level, see `level_of`.
    """
    level = level_of(latent_size, tokens)
    assert level is not None, f"no level of {latent_size} has {tokens} tokens"
    rows = _shares(mask.shape[0], (box.top, box.bottom), latent_size[0], 2**level)
    columns = _shares(mask.shape[1], (box.left, box.right), latent_size[1], 2**level)
    # In double precision and clamped: the shares of a cell add up to 1 but for rounding.
    across = torch.cat([part.double() @ columns.T for part in mask.split(BLOCK)])
    return (rows @ across).clamp(0, 1).float().flatten()


def _shares(length: int, span: tuple[float, float], latent: int, step: int) -> Float[Tensor, "cells length"]:
    """How much of each cell lies over each of the mask's `length` pixels, along one axis; each row adds up to 1.

    `span`: what the latent picture shows of that axis, in fractions. A cell is `step` of its `latent` cells long;
    the last one ends with the picture.
    """
    start, stop = (length * fraction for fraction in span)
    edges = torch.arange(0, latent + step, step, dtype=torch.float64).clamp(max=latent)
    edges = start + (stop - start) * edges / latent
    # Where a cell ends inside a pixel that repeats the edge, and where it ends inside the picture.
    low, high = edges[:-1, None], edges[1:, None]
    pixels = torch.arange(length, dtype=torch.float64)
    first, last = pixels.clone(), pixels + 1
    first[0], last[-1] = -torch.inf, torch.inf
    overlap = (torch.minimum(high, last) - torch.maximum(low, first)).clamp(min=0)
    return _exact(overlap / (high - low))


def _exact(shares: Tensor) -> Tensor:
    """Without what is rounding: a cell that touches a pixel's edge would have a trace of the next pixel."""
    shares = torch.where(shares < 1e-9, 0.0, shares)
    return shares / shares.sum(dim=1, keepdim=True)
