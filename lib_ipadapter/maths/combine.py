"""Several references as one: on the encoder's features, before the projection; and tokens of unequal number.

As the peer that knows these ways computes them (cubiq/ComfyUI_IPAdapter_plus@9d076a3 IPAdapterPlus.py:420-448, maximum
and minimum 1427-1467, weights 1368-1425: each picture's features times its weight). Different here: the two averages
are divided by the sum of the weights and not by the number of pictures, so that a weight of 0 leaves a picture out and
equal weights change nothing. With weights of 1 both are the same.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import Enum

import torch
from torch import Tensor

from lib_ipadapter.maths.shapes import Float


class Combination(str, Enum):
    """How the pictures of one unit become one image prompt."""

    CONCAT = "concat"
    """The tokens of each, one after the other; a weight is a factor of its tokens
    (finegrain-ai/refiners@720a91a src/refiners/foundationals/latent_diffusion/image_prompt.py:499)."""
    AVERAGE = "average"
    NORM_AVERAGE = "norm average"
    """The mean after division by the norm over the pictures, feature by feature: what only one of them has counts as
    much as what all have, whatever its size."""
    ADD = "add"
    SUBTRACT = "subtract"
    """The first, less the mean of all others."""
    MAX = "max"
    MIN = "min"
    BATCH = "batch"
    """Each picture for a picture of the batch of its own."""


APART = (Combination.CONCAT, Combination.BATCH)
"""Ways that leave each picture's features as they are."""


def combined(features: Float[Tensor, "pictures ..."], way: Combination, weights: Sequence[float]) -> Tensor:
    """Features of several pictures -> ``[1, ...]``, those of one. `weights`: one for each.

    One picture is itself, whatever the way and its weight: a projection with LayerNorm makes little of a factor.
    """
    assert way not in APART
    if len(features) == 1:
        return features
    factors = torch.tensor(weights, dtype=features.dtype, device=features.device)
    weighed = features * factors.view(-1, *[1] * (features.dim() - 1))
    match way:
        case Combination.AVERAGE:
            found = weighed.sum(0) / factors.abs().sum()
        case Combination.NORM_AVERAGE:
            # Zero where no picture has anything; the peer divides by zero there.
            norm = features.norm(dim=0, keepdim=True).clamp_min(torch.finfo(features.dtype).tiny)
            found = (weighed / norm).sum(0) / factors.abs().sum()
        case Combination.ADD:
            found = weighed.sum(0)
        case Combination.SUBTRACT:
            found = weighed[0] - weighed[1:].mean(0)
        case Combination.MAX:
            found = weighed.amax(0)
        case _:
            found = weighed.amin(0)
    return found[None]


def even_length(parts: Sequence[Tensor], dim: int) -> int:
    """How long along `dim` `evened` makes each: the least common multiple, which may be very much longer than any."""
    return math.lcm(*(part.shape[dim] for part in parts))


def evened(parts: Sequence[Tensor], dim: int) -> list[Tensor]:
    """The same tensors as long as each other along `dim`, by repeating each as a whole.

    To attention that is no change: softmax over every token twice is softmax over every token.
    """
    length = even_length(parts, dim)
    return [torch.cat([part] * (length // part.shape[dim]), dim=dim) for part in parts]
