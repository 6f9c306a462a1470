"""What the scale is multiplied with: the image branch's output, or its keys and values.

The formulas of cubiq/ComfyUI_IPAdapter_plus@9d076a3 CrossAttentionPatch.py:186-207; the penalty on values alone
(`EmbedsScaling.V_PENALTY`) is not there: it completes the table.
"""

from __future__ import annotations

from enum import Enum

from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue, image_attention
from lib_ipadapter.maths.shapes import Float

FULL_WIDTH = 1280
"""Width of the widest layers, whose scale the penalty leaves as it is."""


class EmbedsScaling(str, Enum):
    """Scaled keys soften the attention over the image's tokens as well: at a low scale they are mixed evenly."""

    V = "V only"
    K_V = "K+V"
    V_PENALTY = "V only w/ C penalty"
    K_V_PENALTY = "K+V w/ C penalty"
    K_MEAN_V_PENALTY = "K+mean(V) w/ C penalty"

    @property
    def penalty(self) -> bool:
        """Narrow layers count less, by their width C / 1280."""
        return self not in (EmbedsScaling.V, EmbedsScaling.K_V)


def scaled_attention(
    query: Float[Tensor, "rows queries width"], kv: KeyValue, heads: int, scale: float, scaling: EmbedsScaling
) -> Float[Tensor, "rows queries width"]:
    """The image branch at `scale`; at 0 it is 0 in every mode, and at 1 all modes without penalty agree."""
    if scaling.penalty:
        scale *= kv.key.shape[-1] / FULL_WIDTH
    match scaling:
        case EmbedsScaling.K_V | EmbedsScaling.K_V_PENALTY:
            kv = KeyValue(kv.key * scale, kv.value * scale)
        case EmbedsScaling.K_MEAN_V_PENALTY:
            mean = kv.value.mean(dim=1, keepdim=True)
            kv = KeyValue(kv.key * scale, kv.value - mean + mean * scale)
        case _:  # scaled values give a scaled output
            return scale * image_attention(query, kv, heads)
    return image_attention(query, kv, heads)
