"""The cross-attention layers of a UNet, in the two orders that matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.model.variant import LAYERS, Variant

CHECKPOINT_ORDER = ("input_blocks", "down_blocks", "output_blocks", "up_blocks", "middle_block", "mid_block")
"""The order of an adapter's numbering: diffusers registers the middle block last."""

RUN_ORDER = ("input_blocks", "down_blocks", "middle_block", "mid_block", "output_blocks", "up_blocks")
"""The order in which a UNet runs its blocks."""

CHECKPOINTS = {**{count: base.label for count, base in LAYERS.items()}, 44: "SDXL's refiner"}
"""Number of cross-attention layers -> what a checkpoint is called. No adapter is published for the refiner."""


@dataclass(frozen=True)
class CrossAttention:
    """One cross-attention layer: the two submodules that are hooked, and its place in both orders."""

    name: str
    to_q: nn.Module
    to_out: nn.Module
    """The first module of the output Sequential, never the Sequential: some attention bodies index into it."""
    heads: int
    width: int
    """Width of queries, keys and values."""
    context: int
    """Width of the text that it attends to."""
    index: int
    """Position in checkpoint order; the adapter's key is ``2 * index + 1``."""
    run_index: int
    """Position in run order."""


def cross_attentions(unet: nn.Module) -> tuple[CrossAttention, ...]:
    """The layers of `unet` in checkpoint order.

    Found by name and structure, not by class: with xformers SDXL's ``attn2`` is of another class.
    Raises `HostError` for a UNet without any.
    """
    found = {name: module for name, module in unet.named_modules() if _is_cross_attention(name, module)}
    if not found:
        raise HostError(
            f"The loaded checkpoint's UNet ({type(unet).__name__}) has no cross-attention layers that IP-Adapter"
            " knows; load an SD1.5 or SDXL checkpoint."
        )
    ran = {name: position for position, name in enumerate(_sorted(found, RUN_ORDER))}
    return tuple(
        _layer(name, found[name], index, ran[name]) for index, name in enumerate(_sorted(found, CHECKPOINT_ORDER))
    )


def check_fits(variant: Variant, layers: Sequence[CrossAttention], name: str) -> None:
    """Raises `HostError` unless an adapter's K/V maps have the shapes of these layers. `name` is for the message."""
    if misfit := why_not(variant, layers):
        raise HostError(f"{name} does not fit the loaded checkpoint: {misfit}; choose another model or checkpoint.")


def why_not(variant: Variant, layers: Sequence[CrossAttention]) -> str:
    """Why an adapter does not fit these layers, in a few words; empty when it does."""
    widths = tuple(layer.width for layer in layers)
    if len(variant.layers) != len(widths):
        loaded = CHECKPOINTS.get(len(widths))
        known = f"the checkpoint is {loaded}" if loaded else f"the checkpoint has {len(widths)} layers"
        return f"it is for {variant.base.label}, {known}"
    if variant.width != layers[0].context:
        return f"it was made for text {variant.width} wide, the checkpoint's is {layers[0].context} wide"
    if variant.layers != widths:
        return "its layers have other widths than the checkpoint's"
    return ""


def _is_cross_attention(name: str, module: nn.Module) -> bool:
    """By name, place and structure: what another extension has hung beside the blocks is its own affair."""
    placed = name.endswith(".attn2") and not set(name.split(".")).isdisjoint(RUN_ORDER)
    return placed and all(hasattr(module, part) for part in ("to_q", "to_k", "to_out", "heads"))


def _sorted(names: dict[str, nn.Module], order: Sequence[str]) -> list[str]:
    """By block, and within a block as registered (`sorted` keeps that order)."""
    return sorted(names, key=lambda name: next(i for i, part in enumerate(order) if part in name.split(".")))


def _layer(name: str, module: nn.Module, index: int, run_index: int) -> CrossAttention:
    key_map: nn.Module = module.to_k  # pyright: ignore[reportAssignmentType]
    weight: nn.Parameter = _base_layer(key_map).weight  # pyright: ignore[reportAssignmentType]
    return CrossAttention(
        name=name,
        to_q=module.to_q,  # pyright: ignore[reportArgumentType]
        to_out=module.to_out[0],  # pyright: ignore[reportIndexIssue, reportArgumentType]
        heads=module.heads,  # pyright: ignore[reportArgumentType]
        width=weight.shape[0],
        context=weight.shape[1],
        index=index,
        run_index=run_index,
    )


def _base_layer(module: nn.Module) -> nn.Module:
    """The linear map inside a LoRA wrapper (peft), or the module itself."""
    return getattr(module, "base_layer", module)
