"""Adapter files: which keys of a file of weights are an adapter's, under whatever names."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from lib_ipadapter.errors import CheckpointError, NotAnAdapterError, reason, some, unreadable
from lib_ipadapter.model import foreign
from lib_ipadapter.model.dialects import joined, joined_shapes
from lib_ipadapter.model.layouts import unwrapped, unwrapped_key, whole_adapter
from lib_ipadapter.model.variant import Shapes
from lib_ipadapter.model.weights_file import read_any, read_any_shapes

PREFIXES = {
    "image_proj.": "image_proj.",
    "ip_adapter.": "ip_adapter.",
    "image_proj_model.": "image_proj.",
    "adapter_modules.": "ip_adapter.",
}
"""Prefix in the file -> ours. Where a file holds a part under both names, the first in this list wins."""

OTHER_ADAPTERS = {
    r"ip_adapter_double_stream_|^ip_adapter_proj_model\.": "XLabs' IP-Adapter for Flux, which has no cross-attention",
    r"^pulid_(encoder|ca)\.": "PuLID for Flux, which has no cross-attention",
    r"^id_adapter(_attn_layers)?\.": "PuLID, which needs an encoder of its own",
}
"""Pattern of keys -> adapters for other models. Lists show them: somebody put them there to use them."""


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Published key -> shape, without the weights, see `read_any_shapes`."""
    with _damage_as_sentence(path):
        shapes = unwrapped(read_any_shapes(path))
        return joined_shapes(sources(shapes, path), shapes)


def read(path: Path) -> dict[str, Tensor]:
    """Published key -> tensor on the CPU, in the file's own dtype; nothing but the adapter is loaded."""
    with _damage_as_sentence(path):
        shapes = read_any_shapes(path)
        wanted = sources(unwrapped(shapes), path)
        parts = {part for keys in wanted.values() for part in keys}
        own = [key for key in shapes if unwrapped_key(key) in parts]
        return joined(wanted, unwrapped(read_any(path, only=own)))


def read_leftovers(path: Path) -> list[str]:
    """Names of the parts of an adapter file that are not used: a second copy, an encoder, the UNet around it."""
    shapes = unwrapped(read_any_shapes(path))
    used = {key for keys in sources(shapes, path).values() for key in keys}
    return sorted({key.split(".")[0] for key in shapes if key not in used})


def sources(shapes: Shapes, path: Path) -> dict[str, tuple[str, ...]]:
    """Published key -> keys of the file, whose tensors, one after the other, are its value.

    Raises `NotAnAdapterError` for a model of another kind, else `CheckpointError`.
    """
    result: dict[str, tuple[str, ...]] = {}
    for theirs, ours in PREFIXES.items():
        if not any(key.startswith(ours) for key in result):
            result |= {ours + key.removeprefix(theirs): (key,) for key in shapes if key.startswith(theirs)}
    if {key.split(".")[0] for key in result} == {"image_proj", "ip_adapter"}:
        return result
    for pattern, what in OTHER_ADAPTERS.items():
        if any(re.search(pattern, key) for key in shapes):
            raise CheckpointError(f"{path.name} is {what}, and cannot be used here; choose one for SD1.5 or SDXL.")
    if any("to_k_ip" in key for key in shapes):
        return whole_adapter(shapes, path.name)[1]
    raise NotAnAdapterError(f"{path.name} is not an IP-Adapter: {_what_else(shapes)}.")


@contextmanager
def _damage_as_sentence(path: Path) -> Iterator[None]:
    """A file may come from anybody, and one that no check has foreseen must not end a whole list."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError, MemoryError) as error:
        damaged = f"{path.name} is damaged ({reason(error)}); download it again."
        raise unreadable(error, path.name, damaged) from error


def _what_else(keys: Collection[str]) -> str:
    if other := foreign.name_of(keys):
        return f"it looks like {other}; choose an adapter file (keys image_proj.* and ip_adapter.*)"
    return f"expected keys image_proj.* and ip_adapter.*, found {some(sorted(keys), 3)}"
