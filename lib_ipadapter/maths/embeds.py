"""Image tokens of one unit: what the conditional rows see, and what "nothing" is for the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.maths.shapes import Float


@dataclass(frozen=True)
class ImagePromptEmbeds:
    """Image tokens for classifier-free guidance.

    Training drops the picture with probability 0.05 (paper, section 3.2.3), and what it then sees is the
    only "nothing" an adapter knows: a base adapter the projection of a zero embedding,
    a plus adapter the projection of a zero pixel tensor, zero after normalisation, run through the encoder.
    """

    cond: Float[Tensor, "1 tokens width"]
    uncond: Float[Tensor, "1 tokens width"]

    def stacked(self) -> Float[Tensor, "2 tokens width"]:
        """Both as rows; a row's index is its `Role`: 0 unconditional, 1 conditional."""
        return torch.cat([self.uncond, self.cond])
