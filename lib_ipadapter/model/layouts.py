"""In which layout a file is: the one of which it holds most."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

from lib_ipadapter.errors import CheckpointError, some
from lib_ipadapter.model.dialect_rules import DIALECTS, places
from lib_ipadapter.model.dialects import Dialect
from lib_ipadapter.model.variant import LAYERS, Base, Shapes

WRAPPERS = ("module.", "_orig_mod.", "state_dict.")
"""What DDP, ``torch.compile`` and others put before every key."""

T = TypeVar("T")


def unwrapped(tensors: Mapping[str, T]) -> dict[str, T]:
    """Tensors, or their shapes, under keys without wrappers."""
    return {unwrapped_key(key): value for key, value in tensors.items()}


def whole_adapter(shapes: Shapes, name: str, adapter: int | None = None) -> tuple[Dialect, dict[str, tuple[str, ...]]]:
    """The layout of a file, and published key -> keys in it.

    `adapter`: which one, where a UNet holds several. Raises `CheckpointError` that names what is missing.
    """
    dialect = _best(shapes, _which(shapes, adapter, name), name)
    sources = dialect.sources(shapes)
    check_complete(sources, dialect.base, name)
    return dialect, sources


def check_complete(keys: Collection[str], base: Base, name: str) -> None:
    """Raises `CheckpointError` unless the projection is there, and K and V of every layer of `base`."""
    if not any(key.startswith("image_proj.") for key in keys):
        raise CheckpointError(
            f"{name} holds K/V maps but no image projection (expected image_proj.*, image_proj_model.* or"
            " encoder_hid_proj.image_projection_layers.*); it was not saved with them, so take another checkpoint."
        )
    for number, place in enumerate(places(base)):
        for which in ("k", "v"):
            if number % 2 and f"ip_adapter.{number}.to_{which}_ip.weight" not in keys:
                raise CheckpointError(
                    f"{name} is incomplete: it has no to_{which}_ip of layer {number} ({place}), without which"
                    " the adapter would not work; take another checkpoint."
                )


def _best(shapes: Shapes, adapter: int, name: str) -> Dialect:
    """The layout and family of which `shapes` hold most; among equals the first in the table."""
    choices = [Dialect(dialect, base, adapter) for dialect in DIALECTS for base in LAYERS.values()]
    share = {choice: _share(choice.sources(shapes), choice.base) for choice in choices}
    best = max(choices, key=lambda choice: share[choice])
    if not share[best][0]:
        raise CheckpointError(
            f"{name} holds no K/V maps of an IP-Adapter in any layout that is known here (found"
            f" {some(sorted(shapes), 3)}); expected keys with to_k_ip, as one of {', '.join(DIALECTS)}."
        )
    return best


def _share(keys: Collection[str], base: Base) -> tuple[float, bool]:
    """How much of an adapter for `base` this is: a part of its maps, then whether there is a projection."""
    numbers = {int(match[1]) for key in keys if (match := re.match(r"ip_adapter\.(\d+)\.to_k_ip", key))}
    wanted = set(range(1, len(places(base)), 2))
    return len(numbers & wanted) / len(numbers | wanted), any(key.startswith("image_proj.") for key in keys)


def _which(shapes: Shapes, adapter: int | None, name: str) -> int:
    """The number of the adapter in a UNet; it must be said where there are several."""
    numbers = {int(m[1]) for key in shapes if (m := re.search(r"\.processor\.to_k_ip\.(\d+)\.weight$", key))}
    if adapter is None and len(numbers) > 1:
        raise CheckpointError(
            f"{name} holds {len(numbers)} adapters; make one of them a file of its own with `python -m lib_ipadapter"
            f" convert {name} OUT.safetensors --adapter N`, N from 0 to {max(numbers)}."
        )
    if adapter is not None and numbers and adapter not in numbers:
        raise CheckpointError(f"{name} has no adapter {adapter}; it has {', '.join(map(str, sorted(numbers)))}.")
    return adapter or 0


def unwrapped_key(key: str) -> str:
    """A key without wrappers, in whatever order they were put around each other."""
    while wrapper := next((wrapper for wrapper in WRAPPERS if key.startswith(wrapper)), ""):
        key = key.removeprefix(wrapper)
    return key
