"""Which picture each layer sees, and in which rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.structure import Structure
from lib_ipadapter.maths.weight_types import composition_blocks, inverted
from lib_ipadapter.patch.layers import CrossAttention
from lib_ipadapter.session.unit import Unit

Compute = Callable[[Unit], Sequence[KeyValue]]
"""Keys and values of a unit's reference picture for every layer, in checkpoint order."""


def arranged(
    unit: Unit, compute: Compute, layers: Sequence[CrossAttention], structure: Structure
) -> tuple[KeyValue, ...]:
    """Keys and values of one branch, in checkpoint order as `layers`, by the unit's weight type.

    The composition's layers may have a picture of their own. Where a precise type pushes a picture away, the
    unconditional rows see it and the conditional ones nothing: guidance goes from the former to the latter.
    Raises `UnitError` for several pictures there, each for an item of the batch: unconditional rows have but one.
    """
    own = compute(unit)
    if unit.weighting.precise and len(own[0].key) > 2:
        raise UnitError(
            f"IP-Adapter: the weight type {unit.weight_type!r} pushes one picture away, and this unit has one for each"
            " item of the batch; choose another weight type, or another way to combine the pictures."
        )
    block_of = [structure.block_of[layer.run_index] for layer in layers]
    turned = inverted(unit.weighting, structure)
    found = [kv.inverted() if block in turned else kv for kv, block in zip(own, block_of, strict=True)]
    if unit.weighting.two_pictures and unit.composition_image is not None:
        other = compute(unit.showing(unit.composition_image))
        placing = composition_blocks(structure)
        found = [
            second if block in placing else first for first, second, block in zip(found, other, block_of, strict=True)
        ]
    return tuple(found)
