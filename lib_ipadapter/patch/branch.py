"""One unit's contribution to the cross-attention layers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue, image_attention
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.model.lora import LoRA
from lib_ipadapter.patch.layers import CrossAttention
from lib_ipadapter.patch.moment import Moment
from lib_ipadapter.patch.region import Region


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
    region: Region | None = None
    """Where it acts; without one, everywhere."""
    _rows: dict[Hashable, KeyValue] = field(default_factory=dict, repr=False, compare=False)
    """Key and value per layer and pattern of roles: a sampling has one or two patterns, and thousands of calls."""

    def acts(self, moment: Moment) -> bool:
        """Whether the unit contributes anything to the UNet call now running."""
        return bool(moment.call) and self.scale != 0.0 and self.schedule.at(moment.progress)

    def output(self, query: Tensor, layer: CrossAttention, moment: Moment) -> Tensor:
        """``scale * M * Attention(Q, K', V')``, ``[rows, queries, width]``, each row with the K and V of its role.

        M is the region's mask: the output is exactly 0 where that is 0, and bit for bit as without one where it is 1.
        """
        image = self.scale * image_attention(query, self.rows(layer.index, moment.call, query), layer.heads)
        return image if self.region is None else image * self.region.over(moment.latent_size, query)

    def misfit(self, query: Tensor, moment: Moment) -> HostError | None:
        """Why the unit cannot be told where in the picture it acts."""
        return self.region.misfit(moment.latent_size, query.shape[1]) if self.region else None

    def rows(self, layer: int, roles: Sequence[int], like: Tensor) -> KeyValue:
        """K and V of a layer for a batch whose rows play `roles`, on the device and in the dtype of `like`."""
        key = (layer, tuple(roles), like.device, like.dtype)
        if key not in self._rows:
            self._rows[key] = self.key_values[layer].like(like).rows(list(roles))
        return self._rows[key]
