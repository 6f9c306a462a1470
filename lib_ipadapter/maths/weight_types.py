"""Weight types: named tables of how strong the image branch is in which block of the UNet.

The numbers are those of cubiq/ComfyUI_IPAdapter_plus@9d076a3 (IPAdapterPlus.py:303-338 and
CrossAttentionPatch.py:85-123), which its users know; the layers' roles were found on the published networks.
"""

from __future__ import annotations

from enum import Enum

from lib_ipadapter.maths.structure import SD15, SDXL, Part, Structure

WEAK = 0.2
"""What is left of a part that a weight type weakens."""


class WeightType(str, Enum):
    """As its users know it."""

    LINEAR = "linear"
    EASE_IN = "ease in"
    EASE_OUT = "ease out"
    EASE_IN_OUT = "ease in-out"
    REVERSE_IN_OUT = "reverse in-out"
    WEAK_INPUT = "weak input"
    WEAK_MIDDLE = "weak middle"
    WEAK_OUTPUT = "weak output"
    STRONG_MIDDLE = "strong middle"
    STYLE = "style transfer"
    COMPOSITION = "composition"
    STRONG_STYLE = "strong style transfer"
    STYLE_AND_COMPOSITION = "style and composition"
    STRONG_STYLE_AND_COMPOSITION = "strong style and composition"
    STYLE_PRECISE = "style transfer precise"
    COMPOSITION_PRECISE = "composition precise"

    @property
    def two_pictures(self) -> bool:
        """The blocks of the composition may take a picture of their own."""
        return self in (WeightType.STYLE_AND_COMPOSITION, WeightType.STRONG_STYLE_AND_COMPOSITION)

    @property
    def precise(self) -> bool:
        """Some layers push the picture away instead of drawing it in."""
        return self in (WeightType.STYLE_PRECISE, WeightType.COMPOSITION_PRECISE)

    @property
    def two_scales(self) -> bool:
        """The blocks of the composition have a scale of their own."""
        return self.two_pictures or self.precise


FADES = {
    WeightType.EASE_IN: lambda depth: 1 - depth,
    WeightType.EASE_OUT: lambda depth: depth,
    WeightType.EASE_IN_OUT: lambda depth: 1 - abs(2 * depth - 1),
    WeightType.REVERSE_IN_OUT: lambda depth: abs(2 * depth - 1),
}
"""Of a block at `depth`, number / number of all: 0.05 and this much of 0.95."""

WEAKENED = {
    WeightType.WEAK_INPUT: (Part.INPUT,),
    WeightType.WEAK_MIDDLE: (Part.MIDDLE,),
    WeightType.WEAK_OUTPUT: (Part.OUTPUT,),
    WeightType.STRONG_MIDDLE: (Part.INPUT, Part.OUTPUT),
}

Table = dict[int, float]
"""Block -> factor; what is not listed is 0."""

COMPOSITION_BLOCKS: dict[Structure, Table] = {SD15: {4: 0.25, 5: 1.0}, SDXL: {3: 1.0}}
"""Those that place things, with their factor."""


STYLE_BLOCKS: dict[Structure, Table] = {SD15: dict.fromkeys((*range(4), *range(9, 16)), 1.0), SDXL: {6: 1.0}}
"""Those that colour and texture them."""

REST: dict[Structure, Table] = {
    SD15: dict.fromkeys((6, 7, 8), 1.0),
    SDXL: dict.fromkeys((0, 1, 2, 4, 5, 7, 8, 9, 10), 1.0),
}
"""Neither."""


def block_scales(kind: WeightType, structure: Structure, scale: float, composition: float) -> tuple[float, ...]:
    """The scale of each block, in run order. `composition`: that of the composition's blocks, where these differ."""
    if fade := FADES.get(kind):
        return tuple(scale * (0.05 + 0.95 * fade(t / structure.blocks)) for t in range(structure.blocks))
    if weak := WEAKENED.get(kind):
        return tuple(scale * (WEAK if structure.part(t) in weak else 1.0) for t in range(structure.blocks))
    if kind is WeightType.LINEAR:
        return (scale,) * structure.blocks
    placing, styling = _tables(kind, structure)
    own = composition if kind.two_scales else scale
    found = {t: own * factor for t, factor in placing.items()} | {t: scale * factor for t, factor in styling.items()}
    return tuple(found.get(t, 0.0) for t in range(structure.blocks))


def _tables(kind: WeightType, structure: Structure) -> tuple[Table, Table]:
    """Factors of the composition's scale, and of the picture's."""
    placing, styling, rest = (table[structure] for table in (COMPOSITION_BLOCKS, STYLE_BLOCKS, REST))
    match kind:
        case WeightType.STYLE:
            return {}, styling
        case WeightType.COMPOSITION:
            return placing, {}
        case WeightType.STRONG_STYLE:
            return {}, styling | rest
        case WeightType.STRONG_STYLE_AND_COMPOSITION:
            return dict.fromkeys(placing, 1.0), styling | rest
        case WeightType.COMPOSITION_PRECISE:
            return placing, styling | dict.fromkeys(rest, 0.1)
        case _:  # style and composition, and the precise style transfer
            return placing, styling


def composition_blocks(structure: Structure) -> frozenset[int]:
    """Blocks that take the composition's picture, where there is one."""
    return frozenset(COMPOSITION_BLOCKS[structure])


def inverted(kind: WeightType, structure: Structure) -> frozenset[int]:
    """Blocks in which a precise type pushes the picture away: the unconditional rows see it, the others nothing."""
    blocks = composition_blocks(structure)
    if kind is WeightType.STYLE_PRECISE:
        return blocks
    return frozenset(range(structure.blocks)) - blocks if kind is WeightType.COMPOSITION_PRECISE else frozenset()
