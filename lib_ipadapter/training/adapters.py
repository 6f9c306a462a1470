"""The adapter that is trained: fresh, or from a published file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from lib_ipadapter.errors import CheckpointError, TrainingError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.detection import detect
from lib_ipadapter.model.encoder_sizes import EncoderSizes
from lib_ipadapter.model.identity import identify
from lib_ipadapter.model.variant import EXPECTED_LAYERS, HEAD_DIM, LAYERS, PICTURE_KINDS, Feature, Kind, Variant
from lib_ipadapter.patch.layers import check_fits, cross_attentions
from lib_ipadapter.training.config import TrainConfig

WIDEST = 1280
"""Of a published resampler's inside; narrower texts keep their own width."""

TOKENS = {Kind.BASE: 4, Kind.PLUS: 16, Kind.FULL: None}
"""Of the published adapters; a full one has the encoder's grid."""


def prepare(unet: nn.Module, sizes: EncoderSizes, config: TrainConfig) -> IPAdapter:
    """In float32, ready to be trained. Raises `IPAdapterError` where adapter, UNet and encoder do not fit."""
    adapter = warm(config.warm_start, unet, sizes, config) if config.warm_start else fresh(unet, sizes, config)
    check_usable(adapter)
    return adapter.float().requires_grad_(True).train()


def check_usable(adapter: IPAdapter) -> None:
    """Raises `TrainingError` where nobody could use what the run would save, as of Stable Diffusion 2."""
    shapes = {key: tuple(tensor.shape) for key, tensor in adapter.state_dict().items()}
    try:
        found = detect(shapes, adapter.variant.kind)
    except CheckpointError as error:
        raise TrainingError(f"What would be trained cannot be used anywhere: {error}") from error
    if found != adapter.variant:
        raise TrainingError(f"What would be trained is read as {found}, and is {adapter.variant}; give other options.")


def fresh(unet: nn.Module, sizes: EncoderSizes, config: TrainConfig) -> IPAdapter:
    """New weights; K and V maps begin as those of the text, which already speak the layer's language."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        adapter = IPAdapter(describe(unet, sizes, config))
    for layer, maps in zip(cross_attentions(unet), adapter.ip_adapter.values(), strict=True):
        attention = unet.get_submodule(layer.name)
        for own, text in ((maps.to_k_ip, attention.to_k), (maps.to_v_ip, attention.to_v)):  # pyright: ignore
            own.weight.data.copy_(text.weight)  # pyright: ignore
    return adapter


def warm(path: Path, unet: nn.Module, sizes: EncoderSizes, config: TrainConfig) -> IPAdapter:
    """A published adapter, once its header has shown that it fits."""
    variant = identify(path)
    if variant.kind not in PICTURE_KINDS or variant.lora_rank:
        raise TrainingError(f"{path.name} is a {variant}; only base, plus and full adapters can be trained.")
    check_fits(variant, cross_attentions(unet), path.name)
    if not sizes.fits(variant):
        raise TrainingError(
            f"{path.name} takes {variant.feature_label}, and the encoder gives {sizes};"
            " give the encoder it was trained with."
        )
    wanted = {"kind": config.kind, "tokens": config.tokens, "dim": config.resampler_dim}
    for name, value in wanted.items():
        if value is not None and getattr(variant, name) != value:
            raise TrainingError(
                f"{path.name} is a {variant}; it cannot go on as {name} {getattr(value, 'value', value)}:"
                " leave the option out, or give another adapter to start from."
            )
    return IPAdapter.read(path)


def describe(unet: nn.Module, sizes: EncoderSizes, config: TrainConfig) -> Variant:
    """The published variant for this UNet and encoder."""
    layers = cross_attentions(unet)
    if len(layers) not in LAYERS:
        raise TrainingError(
            f"The checkpoint's UNet has {len(layers)} cross-attention layers; expected {EXPECTED_LAYERS}."
        )
    kind = config.kind or Kind.BASE
    feature = Feature.IMAGE_EMBEDS if kind is Kind.BASE else Feature.HIDDEN_STATES
    about = Variant(
        kind=kind,
        base=LAYERS[len(layers)],
        tokens=config.tokens or TOKENS[kind],
        width=layers[0].context,
        feature=feature,
        features=sizes.width(feature),
        layers=tuple(layer.width for layer in layers),
    )
    return with_resampler(about, config.resampler_dim) if kind is Kind.PLUS else about


def with_resampler(about: Variant, dim: int | None) -> Variant:
    """The same with the published resampler's depth, heads and feed-forward, `dim` wide inside."""
    dim = dim or min(about.width, WIDEST)
    return replace(about, dim=dim, depth=4, heads=max(1, dim // HEAD_DIM), head_dim=min(HEAD_DIM, dim), ff_mult=4)
