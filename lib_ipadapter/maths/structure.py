"""How a UNet's cross-attention layers are grouped, as far as weights of layers go by it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property


class Part(Enum):
    """The three parts of a UNet."""

    INPUT = "input"
    MIDDLE = "middle"
    OUTPUT = "output"


@dataclass(frozen=True)
class Structure:
    """Cross-attention layers in each of the UNet's spatial transformers, here called blocks, in run order.

    Weights of layers go by the number of the block, as in the peers' tables (cubiq/ComfyUI_IPAdapter_plus@9d076a3
    CrossAttentionPatch.py:85-123, where it is the ``transformer_index``): all layers of a block share one.
    """

    inputs: tuple[int, ...]
    middle: int
    outputs: tuple[int, ...]

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Number of layers of each block."""
        return (*self.inputs, self.middle, *self.outputs)

    @property
    def blocks(self) -> int:
        """Number of blocks: 16 in SD1.5, 11 in SDXL."""
        return len(self.depths)

    @cached_property
    def layers(self) -> int:
        """Number of layers: 16 in SD1.5, 70 in SDXL."""
        return sum(self.depths)

    @cached_property
    def block_of(self) -> tuple[int, ...]:
        """The block of each layer, both in run order."""
        return tuple(block for block, depth in enumerate(self.depths) for _ in range(depth))

    def part(self, block: int) -> Part:
        """Where in the UNet a block is."""
        middle = len(self.inputs)
        return Part.MIDDLE if block == middle else Part.INPUT if block < middle else Part.OUTPUT


SD15 = Structure(inputs=(1,) * 6, middle=1, outputs=(1,) * 9)
"""SD2 is built so too."""

SDXL = Structure(inputs=(2, 2, 10, 10), middle=10, outputs=(10, 10, 10, 2, 2, 2))

STRUCTURES = {one.layers: one for one in (SD15, SDXL)}
"""By the number of layers, which no two families share."""
