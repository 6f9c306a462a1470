"""How many image tokens a unit may have: more are refused before they are made."""

from __future__ import annotations

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.variant import Variant

MOST_BYTES = 2 << 30
"""Of K and V: ten thousand tokens of pictures and as many of nothing for SD1.5, sixteen hundred for SDXL."""

MOST_VIEWS = 512
"""Of all pictures that become one, repeated until each has as many: those of 64 pictures with 8 tiles each."""

FEWER = "use fewer pictures, or another crop than tiles"


def check_tokens(rows: int, tokens: int, variant: Variant) -> None:
    """`rows`: those of pictures, and the one of nothing. Raises `UnitError` where K and V take too much memory."""
    taken = rows * tokens * 2 * 4 * sum(variant.layers)  # K and V in float32
    if taken > MOST_BYTES:
        raise UnitError(
            f"IP-Adapter: {rows} rows of {tokens} image tokens take {taken / 2**30:.1f} GB of memory; the limit is"
            f" {MOST_BYTES / 2**30:.1f} GB; {FEWER}."
        )


def check_views(pictures: int, views: int) -> None:
    """`views`: of each, when all have as many. Raises `UnitError`."""
    if pictures * views > MOST_VIEWS:
        raise UnitError(
            f"IP-Adapter: {pictures} pictures as one need {views} tiles of each, so that all have as many; the limit is"
            f" {MOST_VIEWS} in all; {FEWER}."
        )
