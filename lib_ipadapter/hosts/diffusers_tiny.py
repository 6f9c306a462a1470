"""A Stable Diffusion small enough to be made on the spot: SD1.5's structure, narrow, random weights under a seed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from safetensors.torch import save_file
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Base, Feature, Kind, Variant
from lib_ipadapter.patch.layers import cross_attentions

TEXT_WIDTH = 64
EMBED, HIDDEN = 48, 64
SIZE = 256
"""Pixels of the pictures that it makes."""


def tiny_pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """A whole pipeline without tokenizer: prompts are given as embeddings, ``[1, 77, TEXT_WIDTH]``."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline(
        vae=tiny_vae(),
        text_encoder=tiny_text_encoder(),  # pyright: ignore[reportArgumentType]
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        unet=tiny_unet(),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def tiny_unet() -> UNet2DConditionModel:
    """16 cross-attention layers, as SD1.5 has them."""
    return UNet2DConditionModel(
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        sample_size=SIZE // 8,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


def tiny_vae() -> AutoencoderKL:
    """Eight pixels to one latent, as in SD1.5."""
    sizes: dict[str, Any] = {
        "block_out_channels": (16,) * 4,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    return AutoencoderKL(**sizes, latent_channels=4, norm_num_groups=4).eval()


def tiny_text_encoder() -> CLIPTextModel:
    """Never asked; a pipeline must have one."""
    return CLIPTextModel(
        CLIPTextConfig(hidden_size=TEXT_WIDTH, intermediate_size=64, num_attention_heads=4, num_hidden_layers=1)
    ).eval()


def tiny_encoder(seed: int = 0) -> CLIPVisionModelWithProjection:
    """A CLIP vision tower: 56 pixels, 16 patches."""
    torch.manual_seed(seed)
    config = CLIPVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=128,
        projection_dim=EMBED,
        num_hidden_layers=3,
        num_attention_heads=4,
        image_size=56,
        patch_size=14,
    )
    return CLIPVisionModelWithProjection(config).eval()


def tiny_variant(kind: Kind, unet: nn.Module) -> Variant:
    """An adapter for `unet` and `tiny_encoder`."""
    layers = tuple(layer.width for layer in cross_attentions(unet))
    if kind is Kind.BASE:
        return Variant(kind, Base.SD15, 4, TEXT_WIDTH, Feature.IMAGE_EMBEDS, EMBED, layers)
    if kind is Kind.FULL:
        return Variant(kind, Base.SD15, None, TEXT_WIDTH, Feature.HIDDEN_STATES, HIDDEN, layers)
    return Variant(
        kind, Base.SD15, 16, TEXT_WIDTH, Feature.HIDDEN_STATES, HIDDEN, layers, dim=128, depth=4, heads=2, ff_mult=4
    )


def tiny_adapter(kind: Kind, unet: nn.Module, seed: int = 0) -> IPAdapter:
    """Weights random, and large enough for an effect that can be seen."""
    torch.manual_seed(seed)
    adapter = IPAdapter(tiny_variant(kind, unet))
    for parameter in adapter.ip_adapter.parameters():
        nn.init.normal_(parameter, std=0.3)
    return adapter.requires_grad_(False).eval()


def save_adapter(adapter: IPAdapter, path: Path) -> Path:
    """In the published layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(adapter.state_dict(), path)
    return path
