"""Image tokens of one unit: what the conditional rows see, and what "nothing" is for the others."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.maths.precision import finite
from lib_ipadapter.maths.shapes import Float


@dataclass(frozen=True)
class ImagePromptEmbeds:
    """Image tokens for classifier-free guidance.

    Training drops the picture with probability 0.05 (paper, section 3.2.3), and what it then sees is the
    only "nothing" an adapter knows: a base adapter the projection of a zero embedding,
    a plus adapter the projection of a zero pixel tensor, zero after normalisation, run through the encoder.
    """

    cond: Float[Tensor, "items tokens width"]
    """One row, or one for each picture that is for an item of the batch of its own."""
    uncond: Float[Tensor, "1 tokens width"]

    def stacked(self) -> Float[Tensor, "rows tokens width"]:
        """Both as rows: 0 is that of nothing, and item i of the batch has row ``1 + i``."""
        return torch.cat([self.uncond, self.cond])

    @property
    def finite(self) -> bool:
        """No value is infinite, and each is a number."""
        return finite(self.cond, self.uncond)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.cond.nbytes + self.uncond.nbytes
