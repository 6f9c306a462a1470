"""Small models with random weights and the real structure, for tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPVisionConfig, CLIPVisionModelWithProjection

from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.maths.scales import LayerScales
from lib_ipadapter.maths.structure import SD15
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.lora import lora_of, lora_shapes
from lib_ipadapter.model.variant import PICTURE_KINDS, Base, FaceFeature, Feature, Kind, Variant
from lib_ipadapter.patch.layers import cross_attentions

TEXT_WIDTH = 48
WIDTHS = (32, 32, 64, 64, 128, 128, 128, 128, 128, 64, 64, 64, 32, 32, 32, 128)
"""K/V widths in checkpoint order of `tiny_unet`."""
EMBED, HIDDEN, FACE = 40, 64, 512
RANK = 4

Known = Tensor | tuple[Tensor, ...]
"""One kind of features, or several, as `IPAdapter.project` takes them."""


def tiny_unet(seed: int = 0) -> UNet2DConditionModel:
    """SD1.5's structure, 16 cross-attention layers, narrow."""
    torch.manual_seed(seed)
    return UNet2DConditionModel(
        block_out_channels=(32, 64, 128, 128),
        layers_per_block=2,
        sample_size=16,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    ).eval()


def even(key_values: Sequence[object], scale: float = 1.0) -> LayerScales:
    """The same in every layer."""
    return LayerScales((scale,) * len(key_values), SD15)


def variant(kind: Kind, unet: nn.Module | None = None) -> Variant:
    """An adapter for `unet`, or for `tiny_unet`, and `tiny_encoder`."""
    layers = cross_attentions(unet) if unet else ()
    common = {
        "kind": kind,
        "base": Base.SD15,
        "width": layers[0].context if layers else TEXT_WIDTH,
        "layers": tuple(layer.width for layer in layers) or WIDTHS,
    }
    if kind is Kind.BASE:
        return Variant(**common, tokens=4, feature=Feature.IMAGE_EMBEDS, features=EMBED)
    if kind is Kind.FULL:
        return Variant(**common, tokens=None, feature=Feature.HIDDEN_STATES, features=HIDDEN)
    if kind not in PICTURE_KINDS:
        return face_variant(**common)
    return Variant(
        **common, tokens=16, feature=Feature.HIDDEN_STATES, features=HIDDEN,
        dim=128, depth=4, heads=2, ff_mult=4,
    )  # fmt: skip


def face_variant(*, kind: Kind, width: int, **common: Any) -> Variant:
    """An adapter for faces; the width of their embeddings is the published one."""
    common |= {"kind": kind, "width": width, "face_width": FACE}
    resampler = {"depth": 4, "heads": 1, "ff_mult": 4}
    if kind is Kind.PORTRAIT_UNNORM:
        return Variant(**common, **resampler, tokens=16, feature=None, features=0, dim=64, face=FaceFeature.RAW)
    common |= {"tokens": 4, "face": FaceFeature.NORMED, "face_dim": 2 * FACE, "lora_rank": RANK}
    if kind is Kind.FACEID:
        return Variant(**common, feature=None, features=0)
    return Variant(**common, **resampler, feature=Feature.HIDDEN_STATES, features=HIDDEN, dim=width)


def tiny_features(about: Variant, rows: int = 1) -> tuple[Tensor, ...]:
    """Random ones, as `IPAdapter.project` takes them."""
    face = (torch.randn(rows, about.face_width),) if about.face else ()
    if about.feature is None:
        return face
    shape = (rows, about.features) if about.feature is Feature.IMAGE_EMBEDS else (rows, 17, about.features)
    return (*face, torch.randn(shape))


def tiny_adapter(kind: Kind, seed: int = 0, unet: nn.Module | None = None) -> IPAdapter:
    """Random weights, large enough to be seen in the output."""
    return filled(variant(kind, unet), seed)


def filled(about: Variant, seed: int = 0) -> IPAdapter:
    """The same for an adapter that is so."""
    torch.manual_seed(seed)
    adapter = IPAdapter(about)
    for name, parameter in adapter.named_parameters():
        if "ip_adapter" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapter.lora = lora_of({key: 0.1 * torch.randn(shape) for key, shape in lora_shapes(adapter.variant).items()})
    return adapter.requires_grad_(False).eval()


def image_prompt(adapter: IPAdapter, cond: Known, nothing: Known) -> ImagePromptEmbeds:
    """One picture's tokens, those of several faces one after the other, and the tokens of none."""
    rows = (adapter.project(*(known if isinstance(known, tuple) else (known,))) for known in (cond, nothing))
    return ImagePromptEmbeds(*(tokens.flatten(0, 1)[None] for tokens in rows))


def save_adapter(adapter: IPAdapter, path: Path) -> Path:
    """In the published layout."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(adapter.tensors(), path)
    return path


def tiny_encoder(seed: int = 0, embed: int = EMBED) -> CLIPVisionModelWithProjection:
    """A CLIP vision tower, 64 wide."""
    torch.manual_seed(seed)
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=HIDDEN,
            intermediate_size=128,
            projection_dim=embed,
            num_hidden_layers=3,
            num_attention_heads=4,
            image_size=56,
            patch_size=14,
        )
    ).eval()


def tiny_pipeline(seed: int = 0) -> StableDiffusionPipeline:
    """A whole pipeline without tokenizer: prompts are given as embeddings, 77 long."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(
        block_out_channels=[8, 8, 8, 8],
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        latent_channels=4,
        norm_num_groups=4,
    )
    text = CLIPTextModel(
        CLIPTextConfig(hidden_size=TEXT_WIDTH, intermediate_size=64, num_attention_heads=4, num_hidden_layers=2)
    )
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=None,  # pyright: ignore[reportArgumentType]
        unet=tiny_unet(seed),
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1),
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
