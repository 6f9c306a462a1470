"""One unit's contribution to the cross-attention layers."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import KW_ONLY, dataclass, field

import torch
from torch import Tensor

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.scales import LayerScales, Schedule
from lib_ipadapter.maths.scaling import EmbedsScaling, scaled_attention
from lib_ipadapter.model.lora import LoRA
from lib_ipadapter.patch.layers import CrossAttention
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.patch.region import Region

REPEATED = 2
"""How often a row may stand in what is kept for a call; the rows of a larger batch are put together at each call."""


@dataclass(frozen=True)
class ImageBranch:
    """Keys and values of one picture for every layer, computed once, and how strongly and when they act."""

    key_values: Sequence[KeyValue]
    """In checkpoint order. Row 0 is that of nothing, for unconditional rows; those after it are for the conditional
    ones, one for all, or one for each item of the batch in turn."""
    _: KW_ONLY
    layers: LayerScales | None = None
    """How strongly it acts in each layer, before the schedule; without it, as in training, at 1 in all of them."""
    schedule: Schedule = field(default_factory=Schedule)
    lora: LoRA = field(default_factory=dict, repr=False)
    """Changes of the UNet that a FaceID file was trained with, in force while the unit acts; most have none.

    Branches of one file hold the same object, by which it is known that the UNet is changed once for all of them."""
    lora_scale: float = 1.0
    scaling: EmbedsScaling = EmbedsScaling.V
    region: Region | None = None
    """Where it acts; without one, everywhere."""
    first: int = 0
    """Which of the rows for conditional ones the first item of a job gets, counted from 0."""
    _rows: dict[Hashable, KeyValue] = field(default_factory=dict, repr=False, compare=False)
    """Key and value per layer and pattern of rows: a sampling has one or two patterns, and thousands of calls."""
    _places: dict[Hashable, Tensor] = field(default_factory=dict, repr=False, compare=False)
    """Where each row of a pattern is among the different ones, on the device: to send a list would make it wait."""

    def acts(self, moment: Moment) -> bool:
        """Whether the unit contributes anything to the UNet call now running."""
        return self._factor(moment) != 0.0 and (self.layers is None or self.layers.acts(moment.progress))

    def acts_in(self, layer: CrossAttention, moment: Moment) -> bool:
        """Whether it contributes anything to this layer; where it does not, the layer costs nothing."""
        return self.strength(layer, moment) != 0.0

    def strength(self, layer: CrossAttention, moment: Moment) -> float:
        """Its scale in this layer and at this moment."""
        factor = self._factor(moment)
        return factor * self.layers.at(layer.run_index, moment.progress) if self.layers else factor

    def _factor(self, moment: Moment) -> float:
        """What its scale in every layer is multiplied with now; 0 outside its steps, and outside of any."""
        return self.schedule.factor(moment.progress) if moment.call else 0.0

    def output(self, query: Tensor, layer: CrossAttention, moment: Moment) -> Tensor:
        """``scale * M * Attention(Q, K', V')``, ``[rows, queries, width]``, each row with its own K and V.

        M is the region's mask: the output is exactly 0 where that is 0, and bit for bit as without one where it is 1.
        """
        kv = self.rows(layer.index, self.picked(layer.index, moment), query)
        image = scaled_attention(query, kv, layer.heads, self.strength(layer, moment), self.scaling)
        return image if self.region is None else image * self.region.over(moment.latent_size, query)

    def misfit(self, query: Tensor, moment: Moment) -> HostError | None:
        """Why the unit cannot be told where in the picture it acts, or with which of its pictures."""
        if not moment.known and max(len(kv.key) for kv in self.key_values) > 2:
            return HostError(
                "Another extension asks for the job's pictures in an order of its own (AnimateDiff does, beyond its"
                " context window), so IP-Adapter cannot tell which of them has which reference; combine the references"
                " in another way, or switch that off."
            )
        return self.region.misfit(moment.latent_size, query.shape[1]) if self.region else None

    def picked(self, layer: int, moment: Moment) -> list[int]:
        """For each row of the UNet call now running, which row of K and V it gets in a layer.

        Layers need not have equally many: those of the composition may have one picture for all items of a batch.
        """
        pictures = len(self.key_values[layer].key) - 1
        return [
            0 if role == Role.UNCONDITIONAL else 1 + (self.first + item) % pictures
            for role, item in zip(moment.call, moment.items, strict=True)
        ]

    def rows(self, layer: int, picked: Sequence[int], like: Tensor) -> KeyValue:
        """K and V of a layer for a batch whose rows get those `picked`, on the device and in the dtype of `like`."""
        asked = sorted(set(picked))
        if len(picked) <= REPEATED * len(asked):
            return self._kept(layer, picked, asked, like)
        place = (tuple(picked), like.device)
        if place not in self._places:
            self._places[place] = torch.tensor([asked.index(row) for row in picked], device=like.device)
        return self._kept(layer, asked, asked, like).rows(self._places[place])

    def _kept(self, layer: int, picked: Sequence[int], asked: Sequence[int], like: Tensor) -> KeyValue:
        """`asked`: the different ones; of many pictures those that are not asked for stay where they are."""
        key = (layer, tuple(picked), like.device, like.dtype)
        if key not in self._rows:
            moved = self.key_values[layer].rows([*asked]).like(like)
            self._rows[key] = moved.rows([asked.index(row) for row in picked])
        return self._rows[key]
