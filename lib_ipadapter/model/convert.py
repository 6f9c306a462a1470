"""From any layout that a trainer leaves to the published one, and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import checkpoint
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.dialects import DIALECTS, Dialect, places
from lib_ipadapter.model.variant import LAYERS, Base, Variant, detect

WRAPPERS = ("module.", "_orig_mod.", "state_dict.")
"""What DDP, ``torch.compile`` and others put before every key."""

WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "model-*-of-*.safetensors",
    "pytorch_model/mp_rank_00_model_states.pt",
)
"""What a training checkpoint's folder may hold, the first that is there."""


def read_foreign(path: Path, adapter: int | None = None) -> tuple[dict[str, Tensor], str]:
    """A whole adapter under published keys, and the name of the layout it was in.

    `path`: a file, or the folder of a training checkpoint. `adapter`: which one, where a UNet holds several.
    Raises `CheckpointError` that names what is missing.
    """
    tensors = {_unwrapped(key): tensor for file in _files(path) for key, tensor in checkpoint.read_any(file).items()}
    found = _best(tensors, _which(tensors, adapter, path.name), path.name)
    tensors = found.read(tensors)
    check_complete(tensors, found.base, path.name)
    return tensors, found.name


def convert_file(
    source: Path,
    target: Path,
    *,
    to: str = "published",
    dtype: str | None = None,
    adapter: int | None = None,
    force: bool = False,
) -> tuple[str, Variant]:
    """Writes the adapter in `source` as `target`; returns the layout it was in, and what it is.

    `to`: a name in `DIALECTS`. `dtype`: ``fp16``, ``fp32``, or None for what it has. Raises `CheckpointError`.
    """
    if target.suffix not in WRITERS:
        raise CheckpointError(f"{target.name} must end in {' or '.join(WRITERS)}: that says what is written.")
    if target.exists() and not force:
        raise CheckpointError(f"{target} is there already; choose another name, or say --force.")
    tensors, found = read_foreign(source, adapter)
    if dtype:
        tensors = {key: tensor.to(DTYPES[dtype]) for key, tensor in tensors.items()}
    variant = detect({key: tuple(tensor.shape) for key, tensor in tensors.items()})
    with torch.device("meta"):
        IPAdapter(variant).load(tensors, source.name)
    metadata = {"base": variant.base.value, "variant": variant.kind.value, "converted_from": found}
    WRITERS[target.suffix](target, Dialect(to, variant.base).write(tensors), metadata)
    return found, variant


def _write_pickle(path: Path, tensors: Mapping[str, Tensor], _: Mapping[str, str]) -> None:
    """As the published ``.bin`` files: the two parts as dictionaries in one; any other layout flat."""
    parts = {key.split(".")[0] for key in tensors}
    nested = {p: {k.removeprefix(f"{p}."): t for k, t in tensors.items() if k.startswith(f"{p}.")} for p in parts}
    temporary = path.with_name(f".{path.name}.tmp")
    torch.save(nested if parts == {"image_proj", "ip_adapter"} else dict(tensors), temporary)
    temporary.replace(path)


DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
WRITERS: dict[str, Callable[[Path, Mapping[str, Tensor], Mapping[str, str]], None]] = {
    ".safetensors": checkpoint.write,
    ".bin": _write_pickle,
}
"""Suffix -> how such a file is written."""


def check_complete(tensors: Mapping[str, Tensor], base: Base, name: str) -> None:
    """Raises `CheckpointError` unless the projection is there, and K and V of every layer of `base`."""
    if not any(key.startswith("image_proj.") for key in tensors):
        raise CheckpointError(
            f"{name} holds K/V maps but no image projection (expected image_proj.*, image_proj_model.* or"
            " encoder_hid_proj.image_projection_layers.*); it was not saved with them, so take another checkpoint."
        )
    for number, place in enumerate(places(base)):
        for which in ("k", "v"):
            if number % 2 and f"ip_adapter.{number}.to_{which}_ip.weight" not in tensors:
                raise CheckpointError(
                    f"{name} is incomplete: it has no to_{which}_ip of layer {number} ({place}), without which"
                    " the adapter would not work; take another checkpoint."
                )


def _best(tensors: Mapping[str, Tensor], adapter: int, name: str) -> Dialect:
    """The layout and family of which `tensors` hold most; among equals the first in the table."""
    choices = [Dialect(dialect, base, adapter) for dialect in DIALECTS for base in LAYERS.values()]
    share = {choice: _share(choice.read(tensors), choice.base) for choice in choices}
    best = max(choices, key=lambda choice: share[choice])
    if not share[best][0]:
        first = ", ".join(sorted(tensors)[:3]) or "nothing"
        raise CheckpointError(
            f"{name} holds no K/V maps of an IP-Adapter in any layout that is known here (found {first});"
            f" expected keys with to_k_ip, as one of {', '.join(DIALECTS)}."
        )
    return best


def _share(tensors: Mapping[str, Tensor], base: Base) -> tuple[float, bool]:
    """How much of an adapter for `base` this is: a part of its maps, then whether there is a projection."""
    numbers = {int(match[1]) for key in tensors if (match := re.match(r"ip_adapter\.(\d+)\.to_k_ip", key))}
    wanted = set(range(1, len(places(base)), 2))
    return len(numbers & wanted) / len(numbers | wanted), any(key.startswith("image_proj.") for key in tensors)


def _which(tensors: Mapping[str, Tensor], adapter: int | None, name: str) -> int:
    """The number of the adapter in a UNet; it must be said where there are several."""
    numbers = {int(m[1]) for key in tensors if (m := re.search(r"\.processor\.to_k_ip\.(\d+)\.weight$", key))}
    if adapter is None and len(numbers) > 1:
        raise CheckpointError(f"{name} holds {len(numbers)} adapters; say which with --adapter 0 to {max(numbers)}.")
    if adapter is not None and numbers and adapter not in numbers:
        raise CheckpointError(f"{name} has no adapter {adapter}; it has {', '.join(map(str, sorted(numbers)))}.")
    return adapter or 0


def _unwrapped(key: str) -> str:
    for wrapper in WRAPPERS:
        key = key.removeprefix(wrapper)
    return key


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for pattern in WEIGHTS:
        if files := sorted(path.glob(pattern)):
            return files
    raise CheckpointError(f"The folder {path} holds no training checkpoint; expected one of {', '.join(WEIGHTS)}.")
