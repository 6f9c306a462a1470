"""Module trees that are named and built like the UNets of ldm (SD1.5) and sgm (SDXL), with nothing but attention."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ldm.modules.attention import CrossAttention


@dataclass(frozen=True)
class Structure:
    """Where a UNet's transformers are: block number -> (width, number of transformer blocks)."""

    inputs: dict[int, tuple[int, int]]
    middle: tuple[int, int]
    outputs: dict[int, tuple[int, int]]
    context: int

    def narrow(self, width: int, context: int) -> Structure:
        """The same structure, small enough to be run."""

        def thin(blocks: dict[int, tuple[int, int]]) -> dict[int, tuple[int, int]]:
            return {number: (width, depth) for number, (_, depth) in blocks.items()}

        return Structure(thin(self.inputs), (width, self.middle[1]), thin(self.outputs), context)


SD15 = Structure(
    inputs={1: (320, 1), 2: (320, 1), 4: (640, 1), 5: (640, 1), 7: (1280, 1), 8: (1280, 1)},
    middle=(1280, 1),
    outputs={n: (width, 1) for n, width in zip(range(3, 12), [1280] * 3 + [640] * 3 + [320] * 3, strict=True)},
    context=768,
)
SDXL = Structure(
    inputs={4: (640, 2), 5: (640, 2), 7: (1280, 10), 8: (1280, 10)},
    middle=(1280, 10),
    outputs={0: (1280, 10), 1: (1280, 10), 2: (1280, 10), 3: (640, 2), 4: (640, 2), 5: (640, 2)},
    context=2048,
)


class SgmCrossAttention(CrossAttention):
    """Called as sgm calls its layers, with an argument that ldm's do not have."""

    def forward(self, x: Tensor, context: Tensor | None = None, additional_tokens: None = None) -> Tensor:
        return super().forward(x, context=context)


MakeAttention = Callable[[int, int], nn.Module]


def ldm_attention(width: int, context: int) -> nn.Module:
    return CrossAttention(width, context, heads=4, dim_head=width // 4)


def sgm_attention(width: int, context: int) -> nn.Module:
    return SgmCrossAttention(width, context, heads=4, dim_head=width // 4)


class TransformerBlock(nn.Module):
    """Self-attention is a name only: it must not be taken for cross-attention."""

    def __init__(self, width: int, context: int, make: MakeAttention) -> None:
        super().__init__()
        self.attn1 = make(width, width)
        self.attn2 = make(width, context)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        more: dict[str, Any] = {"additional_tokens": None} if isinstance(self.attn2, SgmCrossAttention) else {}
        return x + self.attn2(x, context=context, **more)


class SpatialTransformer(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int, depth: int, context: int, make: MakeAttention) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList(TransformerBlock(width, context, make) for _ in range(depth))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        for block in self.transformer_blocks:
            x = block(x, context)
        return x


class LdmTree(nn.Module):
    """``input_blocks``, ``middle_block`` and ``output_blocks``, run in this order and registered in this order."""

    def __init__(self, structure: Structure, make: MakeAttention = ldm_attention) -> None:
        super().__init__()

        def part(width: int, depth: int) -> nn.ModuleList:
            return nn.ModuleList([nn.Identity(), SpatialTransformer(width, depth, structure.context, make)])

        def blocks(found: dict[int, tuple[int, int]]) -> nn.ModuleList:
            return nn.ModuleList(part(*found[n]) if n in found else nn.ModuleList() for n in range(12))

        self.lift = nn.Linear(4, structure.middle[0])
        self.input_blocks = blocks(structure.inputs)
        self.middle_block = part(*structure.middle)
        self.output_blocks = blocks(structure.outputs)

    def forward(self, x: Tensor, timesteps: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        """``x``: latents ``[rows, 4, height, width]``."""
        hidden = self.lift(x.flatten(2).transpose(1, 2))
        for block in (*self.input_blocks, self.middle_block, *self.output_blocks):
            if len(block):
                hidden = block[1](hidden, context)
        return hidden


def narrow_tree(structure: Structure = SD15, make: MakeAttention = ldm_attention, seed: int = 0) -> LdmTree:
    """Runs in milliseconds: 16 wide, text 12 wide."""
    torch.manual_seed(seed)
    return LdmTree(structure.narrow(width=16, context=12), make).eval()


def attn2(unet: nn.Module) -> dict[str, nn.Module]:
    """The cross-attention layers by name, found without the code under test."""
    return {name: module for name, module in unet.named_modules() if name.endswith("attn2")}
