"""An adapter: the image projection, and one pair of K/V maps per cross-attention layer."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_ipadapter.errors import CheckpointError, some
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.face_projections import FaceIDPlusProjection, FaceIDProjection, FaceResampler
from lib_ipadapter.maths.precision import visiting
from lib_ipadapter.maths.projections import LinearProjection, MLPProjection, Perceiver, Resampler
from lib_ipadapter.model.checkpoint import read
from lib_ipadapter.model.identity import identified
from lib_ipadapter.model.lora import LoRA, lora_of, lora_shapes, lora_tensors
from lib_ipadapter.model.variant import Kind, Variant


class KeyValueMaps(nn.Module):
    """``K' = c_img W'_k`` and ``V' = c_img W'_v`` of one layer, without bias (paper, section 3.2.2)."""

    def __init__(self, *, tokens_width: int, width: int) -> None:
        super().__init__()
        self.to_k_ip = nn.Linear(tokens_width, width, bias=False)
        self.to_v_ip = nn.Linear(tokens_width, width, bias=False)

    def forward(self, tokens: Tensor) -> KeyValue:
        """``[rows, tokens, tokens_width]`` -> K and V, ``[rows, tokens, width]``, computed where `tokens` is.

        A weight stored elsewhere or in another dtype visits for this one product.
        """
        return KeyValue(
            *(F.linear(tokens, visiting(m.weight, tokens.device, tokens.dtype)) for m in (self.to_k_ip, self.to_v_ip))
        )


class IPAdapter(nn.Module):
    """One adapter file, as modules whose state dict has the published key names.

    Weights may rest on the CPU in half precision: `project` and `key_values` compute on the device and in the
    dtype of what they are given, first the projection's weights, then one layer's K/V maps at a time.
    In training, where everything is in one place already, the same code moves nothing and carries gradients.

    `lora`, which FaceID files carry, is for the UNet and takes no part in any of this.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.variant = variant
        self.lora: LoRA = {}
        self.image_proj = build_projection(variant)
        self.ip_adapter = nn.ModuleDict(
            {
                str(2 * index + 1): KeyValueMaps(tokens_width=variant.width, width=width)
                for index, width in enumerate(variant.layers)
            }
        )

    @classmethod
    def read(cls, path: Path, choice: Kind | None = None) -> IPAdapter:
        """The adapter in the file at `path`, on the CPU, in the file's dtype.

        `choice`: what it is, where shapes do not tell. Raises `CheckpointError`, and `AmbiguousError` as `identify`.
        """
        tensors = read(path)
        variant = identified({key: tuple(tensor.shape) for key, tensor in tensors.items()}, path, choice)
        with torch.device("meta"):
            adapter = cls(variant)
        adapter.load(tensors, path.name)
        return adapter.requires_grad_(False).eval()

    def load(self, tensors: dict[str, Tensor], name: str) -> None:
        """Takes `tensors` (published key names) as the weights; `name` is for the message."""
        wanted = self.state_dict()
        shapes = {key: tuple(tensor.shape) for key, tensor in wanted.items()} | lora_shapes(self.variant)
        for key, shape in shapes.items():
            if key not in tensors:
                raise CheckpointError(f"{name} is incomplete: {key} is missing; download it again.")
            if tuple(tensors[key].shape) != shape:
                raise CheckpointError(
                    f"{name} contradicts itself: {key} should be {list(shape)} and is {list(tensors[key].shape)}."
                )
            if not tensors[key].is_floating_point():
                raise CheckpointError(f"{name} is damaged: {key} holds {tensors[key].dtype}, not floating point.")
        if unknown := sorted(key for key in tensors if key.startswith("image_proj.") and key not in wanted):
            raise CheckpointError(
                f"{name} was trained with a projection that is not known here: it has {some(unknown, 3)} as well;"
                " without that its pictures would be others, so choose another file."
            )
        self.load_state_dict({key: tensors[key] for key in wanted}, assign=True)
        self.lora = lora_of(tensors)

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a file of this adapter holds, under published keys."""
        return self.state_dict() | lora_tensors(self.lora)

    def project(self, *features: Tensor, shortcut_scale: float = 1.0) -> Tensor:
        """What is known of pictures or faces, one row each -> image tokens ``[rows, tokens, width]``.

        `features`: ``[rows, features]`` for base, ``[rows, grid, features]`` for plus and full, ``[faces, 512]`` for
        FaceID, portrait (normed) and portrait-unnorm (raw); for FaceID-plus two: the face embeddings, and the hidden
        states of each aligned face. `shortcut_scale`: for FaceID-plusv2 only.
        """
        expected = bool(self.variant.face) + bool(self.variant.feature)
        assert len(features) == expected, f"a {self.variant.kind.value} adapter takes {expected} features"
        where = (features[0].device, features[0].dtype)
        weights = {name: visiting(tensor, *where) for name, tensor in self.image_proj.named_parameters()}
        options = {"shortcut_scale": shortcut_scale} if self.variant.shortcut else {}
        return torch.func.functional_call(self.image_proj, weights, features, options)

    def key_values(self, tokens: Tensor) -> tuple[KeyValue, ...]:
        """``[rows, tokens, width]`` -> K and V of every layer, in checkpoint order, each as wide as its layer.

        They depend on the picture only: once per generation.
        """
        return tuple(maps(tokens) for maps in self.ip_adapter.values())

    @property
    def lora_finite(self) -> bool:
        """No value of the LoRA, which no token passes, is infinite, and each is a number."""
        return all(low_rank.finite for projections in self.lora.values() for low_rank in projections.values())

    @property
    def nbytes(self) -> int:
        """Memory that the weights take, in bytes; the LoRA's too."""
        return sum(t.nbytes for t in self.tensors().values())


def build_projection(variant: Variant) -> nn.Module:
    """The image projection that `variant` describes, with fresh weights."""
    if variant.kind is Kind.FULL:
        return MLPProjection(features=variant.features, width=variant.width)
    assert variant.tokens is not None, "only a full adapter leaves the number of tokens to the encoder"
    face = {"face": variant.face_width, "inner": variant.face_dim, "tokens": variant.tokens, "width": variant.width}
    inside = {
        "dim": variant.dim, "depth": variant.depth, "heads": variant.heads, "head_dim": variant.head_dim,
        "ff_mult": variant.ff_mult, "width": variant.width,
    }  # fmt: skip
    match variant.kind:
        case Kind.BASE:
            return LinearProjection(features=variant.features, tokens=variant.tokens, width=variant.width)
        case Kind.FACEID:
            return FaceIDProjection(**face)
        case Kind.FACEID_PLUS | Kind.FACEID_PLUS_V2:
            perceiver = Perceiver(features=variant.features, **inside)
            return FaceIDPlusProjection(**face, shortcut=variant.shortcut, perceiver_resampler=perceiver)
        case Kind.PORTRAIT_UNNORM:
            return FaceResampler(features=variant.face_width, queries=variant.tokens, **inside)
        case Kind.PLUS:
            return Resampler(features=variant.features, queries=variant.tokens, **inside)
