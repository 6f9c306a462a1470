"""The low-rank adaptation of the UNet that FaceID files carry beside their K/V maps.

It belongs to every attention layer, self-attention too, and is trained at scale 1: without it a FaceID adapter gives
washed-out pictures (tencent-ailab/IP-Adapter@62e4af9 ip_adapter/attention_processor_faceid.py:105-126).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.maths.precision import finite
from lib_ipadapter.maths.shapes import Float
from lib_ipadapter.model.variant import Variant

MODULES = {"to_q": "to_q", "to_k": "to_k", "to_v": "to_v", "to_out": "to_out.0"}
"""Projection as the file names it -> the linear map below the attention layer, in both namings of UNets."""

KEY = re.compile(r"ip_adapter\.(\d+)\.(to_(?:q|k|v|out))_lora\.(down|up)\.weight")


@dataclass(frozen=True)
class LowRank:
    """What one linear map gets on top: ``y += x down^T up^T``, which is ``W += up down``. Scale 1, no alpha."""

    down: Float[Tensor, "rank inputs"]
    up: Float[Tensor, "outputs rank"]

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.down.nbytes + self.up.nbytes

    @property
    def finite(self) -> bool:
        """No value is infinite, and each is a number."""
        return finite(self.down, self.up)


LoRA = Mapping[int, Mapping[str, LowRank]]
"""Processor number -> projection (a key of `MODULES`) -> what is added. Odd numbers are cross-attention."""


def lora_shapes(variant: Variant) -> dict[str, tuple[int, ...]]:
    """Published key -> shape of a whole LoRA of `variant`'s rank; empty where it has none.

    Only keys and values of cross-attention read the text; everything else is as wide as the layer.
    """
    rank = variant.lora_rank
    shapes: dict[str, tuple[int, ...]] = {}
    for number in range(2 * len(variant.layers) if rank else 0):
        width = variant.layers[number // 2]
        for projection in MODULES:
            reads_text = number % 2 and projection in ("to_k", "to_v")
            shapes[f"ip_adapter.{number}.{projection}_lora.down.weight"] = (
                rank,
                variant.width if reads_text else width,
            )
            shapes[f"ip_adapter.{number}.{projection}_lora.up.weight"] = (width, rank)
    return shapes


def lora_of(tensors: Mapping[str, Tensor]) -> LoRA:
    """The LoRA among `tensors` under published keys. Raises `CheckpointError` for a map without its other half."""
    parts: dict[int, dict[str, dict[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        if match := KEY.fullmatch(key):
            number, projection, half = match.groups()
            parts.setdefault(int(number), {}).setdefault(projection, {})[half] = tensor
    for number, projections in parts.items():
        for projection, halves in projections.items():
            if missing := {"down", "up"} - halves.keys():
                raise CheckpointError(
                    f"The LoRA in this file is incomplete: ip_adapter.{number}.{projection}_lora.{missing.pop()}.weight"
                    " is missing; download it again."
                )
    return {n: {name: LowRank(**parts[n][name]) for name in MODULES if name in parts[n]} for n in sorted(parts)}


def lora_tensors(lora: LoRA) -> dict[str, Tensor]:
    """A LoRA's tensors under published keys, as `lora_of` takes them."""
    return {
        f"ip_adapter.{number}.{name}_lora.{half}.weight": tensor
        for number, projections in lora.items()
        for name, low_rank in projections.items()
        for half, tensor in (("down", low_rank.down), ("up", low_rank.up))
    }
