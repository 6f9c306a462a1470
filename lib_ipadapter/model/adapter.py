"""An adapter: the image projection, and one pair of K/V maps per cross-attention layer."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.maths.precision import visiting
from lib_ipadapter.maths.projections import LinearProjection, MLPProjection, Resampler
from lib_ipadapter.model.checkpoint import read
from lib_ipadapter.model.variant import Kind, Variant, detect


class KeyValueMaps(nn.Module):
    """``K' = c_img W'_k`` and ``V' = c_img W'_v`` of one layer, without bias (paper, section 3.2.2)."""

    def __init__(self, *, tokens_width: int, width: int) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(tokens_width, width, bias=False)
        self.to_v_ip = nn.Linear(tokens_width, width, bias=False)

    def forward(self, tokens: Tensor) -> KeyValue:
        """Computed where `tokens` is; a weight stored elsewhere or in another dtype visits for this one product."""
        return KeyValue(
            *(F.linear(tokens, visiting(m.weight, tokens.device, tokens.dtype)) for m in (self.to_k_ip, self.to_v_ip))
        )


class IPAdapter(nn.Module):
    """One adapter file, as modules whose state dict has the published key names.

    Weights may rest on the CPU in half precision: `project` and `key_values` compute on the device and in the
    dtype of what they are given, first the projection's weights, then one layer's K/V maps at a time.
    In training, where everything is in one place already, the same code moves nothing and carries gradients.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.image_proj = build_projection(variant)
        self.ip_adapter = nn.ModuleDict(
            {
                str(2 * index + 1): KeyValueMaps(tokens_width=variant.width, width=width)
                for index, width in enumerate(variant.layers)
            }
        )

    @classmethod
    def read(cls, path: Path) -> IPAdapter:
        """The adapter in the file at `path`, on the CPU, in the file's dtype. Raises `CheckpointError`."""
        tensors = read(path)
        variant = detect({key: tuple(tensor.shape) for key, tensor in tensors.items()})
        with torch.device("meta"):
            adapter = cls(variant)
        adapter.load(tensors, path.name)
        return adapter.requires_grad_(False).eval()

    def load(self, tensors: dict[str, Tensor], name: str) -> None:
        """Takes `tensors` (published key names) as the weights; `name` is for the message."""
        wanted = self.state_dict()
        for key, tensor in wanted.items():
            if key not in tensors:
                raise CheckpointError(f"{name} is incomplete: {key} is missing; download it again.")
            if tensors[key].shape != tensor.shape:
                raise CheckpointError(
                    f"{name} contradicts itself: {key} should be {list(tensor.shape)}"
                    f" and is {list(tensors[key].shape)}."
                )
            if not tensors[key].is_floating_point():
                raise CheckpointError(f"{name} is damaged: {key} holds {tensors[key].dtype}, not floating point.")
        self.load_state_dict({key: tensors[key] for key in wanted}, assign=True)

    def project(self, features: Tensor) -> Tensor:
        """Features of pictures, ``[rows, features]`` or ``[rows, grid, features]`` -> ``[rows, tokens, width]``."""
        where = (features.device, features.dtype)
        weights = {name: visiting(tensor, *where) for name, tensor in self.image_proj.named_parameters()}
        return torch.func.functional_call(self.image_proj, weights, (features,))

    def image_prompt(self, cond: Tensor, nothing: Tensor) -> ImagePromptEmbeds:
        """Image tokens of one picture's features, and of the features that stand for no picture."""
        return ImagePromptEmbeds(cond=self.project(cond), uncond=self.project(nothing))

    def key_values(self, tokens: Tensor) -> tuple[KeyValue, ...]:
        """K and V of every layer, in checkpoint order. They depend on the picture only: once per generation."""
        return tuple(maps(tokens) for maps in self.ip_adapter.values())

    @property
    def nbytes(self) -> int:
        """Memory that the weights take, in bytes."""
        return sum(p.numel() * p.element_size() for p in self.parameters())


def build_projection(variant: Variant) -> nn.Module:
    """The image projection that `variant` describes, with fresh weights."""
    if variant.kind is Kind.FULL:
        return MLPProjection(features=variant.features, width=variant.width)
    assert variant.tokens is not None, "only a full adapter leaves the number of tokens to the encoder"
    if variant.kind is Kind.BASE:
        return LinearProjection(features=variant.features, tokens=variant.tokens, width=variant.width)
    return Resampler(
        features=variant.features,
        dim=variant.dim,
        depth=variant.depth,
        heads=variant.heads,
        head_dim=variant.head_dim,
        ff_mult=variant.ff_mult,
        queries=variant.tokens,
        width=variant.width,
    )
