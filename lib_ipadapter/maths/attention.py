"""The image branch of decoupled cross-attention.

``Z = Attention(Q, K, V) + scale * Attention(Q, K', V')`` (paper, equation 5): the query is shared,
the softmaxes are separate. The host computes the first term; this file computes the second.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lib_ipadapter.maths.precision import finite
from lib_ipadapter.maths.shapes import Float


@dataclass(frozen=True)
class KeyValue:
    """Keys and values of one cross-attention layer, before they are split into heads."""

    key: Float[Tensor, "rows tokens width"]
    value: Float[Tensor, "rows tokens width"]

    def rows(self, index: list[int] | Tensor) -> KeyValue:
        """The rows at `index`, in that order; a row may repeat. A tensor on the same device is quicker than a list."""
        return KeyValue(self.key[index], self.value[index])

    def like(self, tensor: Tensor) -> KeyValue:
        """On the device and in the dtype of `tensor`; itself when nothing changes."""
        return KeyValue(self.key.to(tensor), self.value.to(tensor))

    def inverted(self) -> KeyValue:
        """Of rows for no picture and for one: the picture for none, and nothing, keys and values of 0, for the picture.

        cubiq/ComfyUI_IPAdapter_plus@9d076a3 IPAdapterPlus.py:878-928, for layers that a precise weight type inverts.
        """

        def turned(part: Tensor) -> Tensor:
            return torch.stack([part[1], torch.zeros_like(part[1])])

        return KeyValue(turned(self.key), turned(self.value))

    def cpu(self) -> KeyValue:
        """On the CPU."""
        return KeyValue(self.key.cpu(), self.value.cpu())

    @property
    def finite(self) -> bool:
        """No value is infinite, and each is a number."""
        return finite(self.key, self.value)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.key.nbytes + self.value.nbytes


def image_attention(
    query: Float[Tensor, "rows queries width"], kv: KeyValue, heads: int
) -> Float[Tensor, "rows queries width"]:
    """``softmax(Q K'^T / sqrt(d)) V'``, d = width / heads, heads merged again (paper, equation 4)."""

    def split(tensor: Tensor) -> Tensor:
        return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)

    out = F.scaled_dot_product_attention(split(query), split(kv.key), split(kv.value))
    return out.transpose(1, 2).flatten(2)
