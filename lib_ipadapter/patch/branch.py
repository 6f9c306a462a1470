"""One unit's contribution to the cross-attention layers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.scales import LayerScales, Schedule
from lib_ipadapter.maths.scaling import EmbedsScaling, scaled_attention
from lib_ipadapter.model.lora import LoRA
from lib_ipadapter.patch.layers import CrossAttention
from lib_ipadapter.patch.moment import Moment


@dataclass(frozen=True)
class ImageBranch:
    """Keys and values of one picture for every layer, computed once, and how strongly and when they act."""

    key_values: Sequence[KeyValue]
    """In checkpoint order. Rows are indexed by a UNet row's role."""
    scale: float = 1.0
    schedule: Schedule = field(default_factory=Schedule)
    lora: LoRA = field(default_factory=dict, repr=False)
    """Changes of the UNet that a FaceID file was trained with, in force while the unit acts; most have none."""
    lora_scale: float = 1.0
    layers: LayerScales | None = None
    """Multiplies `scale`, layer by layer; without it all layers are alike."""
    scaling: EmbedsScaling = EmbedsScaling.V
    _rows: dict[Hashable, KeyValue] = field(default_factory=dict, repr=False, compare=False)
    """Key and value per layer and pattern of roles: a sampling has one or two patterns, and thousands of calls."""

    def acts(self, moment: Moment) -> bool:
        """Whether the unit contributes anything to the UNet call now running."""
        if not moment.call or self.scale == 0.0 or not self.schedule.at(moment.progress):
            return False
        layers = self.layers
        return layers is None or any(layers.at(layer, moment.progress) for layer in range(len(layers.scales)))

    def acts_in(self, layer: CrossAttention, moment: Moment) -> bool:
        """Whether it contributes anything to this layer; where it does not, the layer costs nothing."""
        return bool(moment.call) and self.strength(layer, moment) != 0.0

    def strength(self, layer: CrossAttention, moment: Moment) -> float:
        """Its scale in this layer and at this moment."""
        strength = self.scale * self.schedule.factor(moment.progress)
        return strength * self.layers.at(layer.run_index, moment.progress) if self.layers else strength

    def output(self, query: Tensor, layer: CrossAttention, moment: Moment) -> Tensor:
        """``scale * Attention(Q, K', V')``, ``[rows, queries, width]``, each row with the K and V of its role."""
        kv = self.rows(layer.index, moment.call, query)
        return scaled_attention(query, kv, layer.heads, self.strength(layer, moment), self.scaling)

    def rows(self, layer: int, roles: Sequence[int], like: Tensor) -> KeyValue:
        """K and V of a layer for a batch whose rows play `roles`, on the device and in the dtype of `like`."""
        key = (layer, tuple(roles), like.device, like.dtype)
        if key not in self._rows:
            self._rows[key] = self.key_values[layer].like(like).rows(list(roles))
        return self._rows[key]
