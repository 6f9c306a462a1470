"""A single file of SDXL's structure with the original keys.

ldm's own classes put together as sgm does, and OpenCLIP's text tower written out.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from ldm.modules.diffusionmodules import openaimodel
from ldm.modules.diffusionmodules.util import timestep_embedding
from torch import Tensor, nn

from tests.hosts.originals import (
    TEXT_WIDTH,
    VAE,
    original_text_encoder,
    original_vae,
    randomised,
    text_tensors,
    without_omegaconf,
    write_tensors,
)

WIDTH, POOLED, TIME = 128, 96, 16
"""OpenCLIP's text, what it is pooled to (not as wide, so that a mistake would show), and each embedded size."""
SIZES = 6

UNET: dict[str, Any] = {
    "adm_in_channels": POOLED + SIZES * TIME,
    "num_classes": "sequential",
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "attention_resolutions": [4, 2],
    "num_res_blocks": 2,
    "channel_mult": [1, 1, 2],
    "num_head_channels": 16,
    "use_linear_in_transformer": True,
    "transformer_depth": [1, 2, 10],
    "context_dim": TEXT_WIDTH + WIDTH,
}
"""70 cross-attention layers."""


class Layer(nn.Module):
    """One of OpenCLIP's residual attention blocks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, width // 64, batch_first=True)
        parts = {"c_fc": nn.Linear(width, 4 * width), "gelu": nn.GELU(), "c_proj": nn.Linear(4 * width, width)}
        self.mlp = nn.Sequential(OrderedDict(parts))

    def forward(self, x: Tensor) -> Tensor:
        future = torch.full((x.shape[1], x.shape[1]), -math.inf).triu(1)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=future)[0]
        return x + self.mlp(self.ln_2(x))


class OpenClip(nn.Module):
    """The text tower, as sgm calls it: the last but one layer as it is; the last one's end token, projected."""

    def __init__(self, width: int, layers: int, words: int, pooled: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.zeros(77, width))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(Layer(width) for _ in range(layers))
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(width, pooled))
        self.logit_scale = nn.Parameter(torch.zeros(()))

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        *layers, last = self.transformer.resblocks
        x = self.token_embedding(ids) + self.positional_embedding
        for layer in layers:
            x = layer(x)
        end = ids.argmax(dim=-1)  # no token has a higher number
        return x, self.ln_final(last(x))[torch.arange(len(ids)), end] @ self.text_projection


def original_open_clip() -> OpenClip:
    return randomised(OpenClip(WIDTH, layers=3, words=600, pooled=POOLED))


def original_sdxl_unet() -> nn.Module:
    return randomised(sgm_unet(UNET))


def sgm_unet(sizes: dict[str, Any]) -> Any:
    """ldm's UNet, deeper where its features are wider, and conditioned on a vector."""
    given = {**sizes, "num_classes": 1}
    vector, depths, wide = given.pop("adm_in_channels"), given.pop("transformer_depth"), given["model_channels"]
    depth_at = {wide * mult: depth for mult, depth in zip(sizes["channel_mult"], depths, strict=True)}
    plain = openaimodel.SpatialTransformer

    def deep(channels: int, *args: Any, context_dim: int, depth: int, **more: Any) -> nn.Module:
        depth = depth_at[channels]
        return plain(channels, *args, depth=depth, context_dim=[context_dim] * depth, **more)

    with without_omegaconf(), mock.patch.object(openaimodel, "SpatialTransformer", deep):
        unet = openaimodel.UNetModel(image_size=32, use_spatial_transformer=True, legacy=False, **given)
    embedding = nn.Sequential(nn.Linear(vector, 4 * wide), nn.SiLU(), nn.Linear(4 * wide, 4 * wide))
    unet.label_emb = nn.Sequential(embedding)
    return unet


def run_sgm(unet: nn.Module, noise: Tensor, timestep: int, *, text: Tensor, pooled: Tensor, sizes: Tensor) -> Tensor:
    """As sgm runs it: every size embedded by itself, after the pooled text."""
    embedded = timestep_embedding(sizes.flatten(), TIME).reshape(len(sizes), -1)
    vector = torch.cat([pooled, embedded], dim=1)
    return unet(noise, torch.full((len(noise),), timestep), context=[text] * 10, y=vector)


def sdxl_tensors() -> dict[str, Tensor]:
    """Everything under the keys of the original files."""
    return {
        **{f"model.diffusion_model.{key}": value for key, value in original_sdxl_unet().state_dict().items()},
        **{f"first_stage_model.{key}": value for key, value in original_vae().state_dict().items()},
        **text_tensors(original_text_encoder(), "conditioner.embedders.0.transformer."),
        **{f"conditioner.embedders.1.model.{key}": value for key, value in original_open_clip().state_dict().items()},
    }


def write_sdxl(path: Path, more: dict[str, Tensor] | None = None) -> Path:
    """The checkpoint, with `more` tensors, and its YAML beside it."""
    return write_tensors(path, sdxl_tensors() | (more or {}), sdxl_params())


def sdxl_params() -> dict[str, Any]:
    return {
        "scale_factor": 0.13025,
        "network_config": {"params": UNET},
        "first_stage_config": {"params": {"ddconfig": VAE}},
    }
