"""The layouts in which CLIP's vision tower is published, as one table.

Ours is transformers' ``CLIPVisionModelWithProjection``. The other is OpenAI's and open_clip's ``VisionTransformer``
(mlfoundations/open_clip@v2.24.0 src/open_clip/transformer.py:315 and the attention blocks above it), where queries,
keys and values are one matrix and the projection is multiplied from the left. Either may stand below a prefix, or
beside a text model, whose keys are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from lib_ipadapter.model.marks import fill, matches


@dataclass(frozen=True)
class TowerRule:
    """One tensor of theirs, and ours that are stacked in it along the first dimension."""

    ours: tuple[str, ...]
    theirs: str
    transposed: bool = False


_LAYER, _BLOCK = "vision_model.encoder.layers.{i}.", "transformer.resblocks.{i}."

OPEN_CLIP = (
    TowerRule(("vision_model.embeddings.class_embedding",), "class_embedding"),
    TowerRule(("vision_model.embeddings.position_embedding.weight",), "positional_embedding"),
    TowerRule(("vision_model.embeddings.patch_embedding.weight",), "conv1.weight"),
    TowerRule(("vision_model.pre_layrnorm.{part}",), "ln_pre.{part}"),  # transformers' own spelling
    TowerRule(tuple(_LAYER + f"self_attn.{x}_proj.weight" for x in "qkv"), _BLOCK + "attn.in_proj_weight"),
    TowerRule(tuple(_LAYER + f"self_attn.{x}_proj.bias" for x in "qkv"), _BLOCK + "attn.in_proj_bias"),
    TowerRule((_LAYER + "self_attn.out_proj.{part}",), _BLOCK + "attn.out_proj.{part}"),
    TowerRule((_LAYER + "layer_norm1.{part}",), _BLOCK + "ln_1.{part}"),
    TowerRule((_LAYER + "layer_norm2.{part}",), _BLOCK + "ln_2.{part}"),
    TowerRule((_LAYER + "mlp.fc1.{part}",), _BLOCK + "mlp.c_fc.{part}"),
    TowerRule((_LAYER + "mlp.fc2.{part}",), _BLOCK + "mlp.c_proj.{part}"),
    TowerRule(("vision_model.post_layernorm.{part}",), "ln_post.{part}"),
    TowerRule(("visual_projection.weight",), "proj", transposed=True),
)

OURS = "vision_model.embeddings.patch_embedding.weight"
"""A key that every tower in transformers' layout has; what stands before it is the prefix."""

THEIRS = ("visual.conv1.weight", "conv1.weight")
"""The same of open_clip's, with its text model beside it or alone."""


def read(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The vision tower in `tensors` under transformers' names; empty where there is none. Nothing is copied.

    Tensors of the meta device do as well, so that a header's shapes are translated by the same table.
    """
    if (prefix := _before(OURS, tensors)) is not None:
        parts = ("vision_model.", "visual_projection.")
        inside = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
        return {key: tensor for key, tensor in inside.items() if key.startswith(parts)}
    for mark in THEIRS:
        if (prefix := _before(mark, tensors)) is not None:
            prefix += mark.removesuffix("conv1.weight")
            return _from_open_clip({k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)})
    return {}


def _from_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for rule in OPEN_CLIP:
        for marks in matches(rule.theirs, tensors):
            whole = tensors[fill(rule.theirs, marks)]
            parts = (whole.T if rule.transposed else whole).chunk(len(rule.ours)) if whole.dim() else (whole,)
            found |= {fill(ours, marks): part for ours, part in zip(rule.ours, parts, strict=False)}
    return found


def _before(mark: str, keys: Iterable[str]) -> str | None:
    """What stands before `mark` where it ends a key at a full stop; the shortest, the same for any order of keys."""
    ends = (key.removesuffix(mark) for key in keys if key.endswith(mark))
    return min(
        (prefix for prefix in ends if not prefix or prefix.endswith(".")), key=lambda p: (len(p), p), default=None
    )
