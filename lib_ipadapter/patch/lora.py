"""The LoRA of a FaceID file on a live UNet: one forward hook on each linear map that it changes.

``y = W x + lora_scale * up(down(x))`` on query, key, value and output of self- and cross-attention, for every row of
the batch, as the method's author computes it (tencent-ailab/IP-Adapter@62e4af9
ip_adapter/attention_processor_faceid.py:105-126). No weight is touched, so there is nothing to be undone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lib_ipadapter.errors import HostError
from lib_ipadapter.model.lora import MODULES, LoRA, LowRank
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import CrossAttention
from lib_ipadapter.patch.moment import Moment


@dataclass
class LinearHook:
    """What one file's LoRA adds to the output of one linear map."""

    branches: Sequence[ImageBranch]
    """Those of its units. It changes the UNet, not what a unit sees: once, however many of them act."""
    low_rank: LowRank
    moment: Moment
    _cast: dict[tuple[torch.device, torch.dtype], LowRank] = field(default_factory=dict, repr=False)
    """Both factors where and as the map computes: moved once, because a sampling has thousands of calls."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        """After the map: its output and the LoRA's, at the largest strength of the units that act."""
        scale = max((branch.lora_scale for branch in self.branches if branch.acts(self.moment)), default=0.0)
        if scale == 0.0:
            return None
        factors = self.factors(output)
        # In the output's dtype: that is the one in which the host computes, whatever it stores weights in.
        inputs: Tensor = args[0].to(output.dtype)
        return output + scale * F.linear(F.linear(inputs, factors.down), factors.up).to(output.dtype)

    def factors(self, like: Tensor) -> LowRank:
        """The two factors on the device and in the dtype of `like`."""
        key = (like.device, like.dtype)
        if key not in self._cast:
            self._cast[key] = LowRank(down=self.low_rank.down.to(like), up=self.low_rank.up.to(like))
        return self._cast[key]


def add_lora(
    unet: nn.Module, layers: Sequence[CrossAttention], branches: Sequence[ImageBranch], moment: Moment
) -> Iterator[RemovableHandle]:
    """Sets the hooks of every LoRA that the branches have, before whoever wants to see the query with it."""
    for sharing in _by_lora(branches):
        for linear, low_rank in linears(unet, layers, sharing[0].lora):
            yield linear.register_forward_hook(LinearHook(sharing, low_rank, moment))


def _by_lora(branches: Sequence[ImageBranch]) -> list[list[ImageBranch]]:
    """The branches that have a LoRA, those of the same one together."""
    found: dict[int, list[ImageBranch]] = {}
    for branch in branches:
        if branch.lora and branch.lora_scale != 0.0:
            found.setdefault(id(branch.lora), []).append(branch)
    return list(found.values())


def linears(unet: nn.Module, layers: Sequence[CrossAttention], lora: LoRA) -> Iterator[tuple[nn.Module, LowRank]]:
    """Each linear map that `lora` changes, with its factors. `layers`: in checkpoint order.

    Processor ``2 i + 1`` is the cross-attention of layer i, and ``2 i`` the self-attention beside it.
    """
    for number, projections in lora.items():
        cross = layers[number // 2].name
        attention = cross if number % 2 else cross.removesuffix("attn2") + "attn1"
        for projection, low_rank in projections.items():
            yield _linear(unet, f"{attention}.{MODULES[projection]}"), low_rank


def _linear(unet: nn.Module, name: str) -> nn.Module:
    try:
        return unet.get_submodule(name)
    except AttributeError:
        raise HostError(
            f"The loaded checkpoint's UNet has no {name}, to which the LoRA in the FaceID file belongs;"
            " load an SD1.5 or SDXL checkpoint, or set lora_scale to 0."
        ) from None
