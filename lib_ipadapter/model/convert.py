"""From any layout that a trainer leaves to the published one, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.maths.precision import finite
from lib_ipadapter.model import weights_file
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.dialects import Dialect, joined
from lib_ipadapter.model.identity import identified
from lib_ipadapter.model.layouts import unwrapped, whole_adapter
from lib_ipadapter.model.variant import Kind, Variant
from lib_ipadapter.model.writing import check_free, whole

WEIGHTS = (
    "model.safetensors",
    "pytorch_model.bin",
    "diffusion_pytorch_model.safetensors",
    "diffusion_pytorch_model.bin",
    "model-*-of-*.safetensors",
    "pytorch_model-*-of-*.bin",
    "diffusion_pytorch_model-*-of-*.safetensors",
    "diffusion_pytorch_model-*-of-*.bin",
    "pytorch_model/mp_rank_00_model_states.pt",
)
"""What a training checkpoint's folder may hold, the first that is there."""


OF_THE_FILE = ("sshs_", "modelspec.hash")
"""How metadata begins that holds for the bytes of one file."""


def read_foreign(path: Path, adapter: int | None = None) -> tuple[dict[str, Tensor], str]:
    """A whole adapter under published keys, and the name of the layout it was in.

    `path`: a file, or the folder of a training checkpoint. `adapter`: which one, where a UNet holds several.
    Raises `CheckpointError` that names what is missing.
    """
    tensors = unwrapped({key: t for file in _files(path) for key, t in weights_file.read_any(file).items()})
    shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
    found, sources = whole_adapter(shapes, path.name, adapter)
    return joined(sources, tensors), found.name


def convert_file(
    source: Path,
    target: Path,
    *,
    to: str = "published",
    dtype: str | None = None,
    adapter: int | None = None,
    choice: Kind | None = None,
    force: bool = False,
) -> tuple[str, Variant]:
    """Writes the adapter in `source` as `target`; returns the layout it was in, and what it is.

    `to`: a name in `DIALECTS`. `dtype`: ``fp16``, ``fp32``, or None for what it has. `choice`: what it is, where
    shapes do not tell. Raises `CheckpointError`.
    """
    if target.suffix not in WRITERS:
        raise CheckpointError(f"{target.name} must end in {' or '.join(WRITERS)}: that says what is written.")
    check_free(target, force=force)
    tensors, found = read_foreign(source, adapter)
    if dtype:
        tensors = _as_dtype(tensors, dtype, source.name)
    variant = _checked(tensors, source, choice)
    own = {"base": variant.base.value, "variant": variant.kind.value, "converted_from": found}
    metadata = {**_carried(source), **own}
    WRITERS[target.suffix](target, Dialect(to, variant.base).write(tensors), metadata)
    return found, variant


def _as_dtype(tensors: Mapping[str, Tensor], dtype: str, name: str) -> dict[str, Tensor]:
    """The tensors in another dtype. Raises `CheckpointError` for one that does not go into it."""
    found = {key: tensor.to(DTYPES[dtype]) for key, tensor in tensors.items()}
    if damaged := [key for key, tensor in found.items() if not finite(tensor)]:
        raise CheckpointError(f"{name} holds values that {dtype} cannot, in {damaged[0]}; leave out --dtype.")
    return found


def _checked(tensors: dict[str, Tensor], source: Path, choice: Kind | None) -> Variant:
    """What adapter these tensors are. Raises `CheckpointError` unless they are a whole one."""
    variant = identified({key: tuple(tensor.shape) for key, tensor in tensors.items()}, source, choice)
    with torch.device("meta"):
        IPAdapter(variant).load(tensors, source.name)
    return variant


def _write_pickle(path: Path, tensors: Mapping[str, Tensor], _: Mapping[str, str]) -> None:
    """As the published ``.bin`` files: the two parts as dictionaries in one; any other layout flat."""
    parts = {key.split(".")[0] for key in tensors}
    nested = {p: {k.removeprefix(f"{p}."): t for k, t in tensors.items() if k.startswith(f"{p}.")} for p in parts}
    with whole(path) as part:
        torch.save(nested if parts == {"image_proj", "ip_adapter"} else dict(tensors), part)


DTYPES = {"fp16": torch.float16, "fp32": torch.float32}
WRITERS: dict[str, Callable[[Path, Mapping[str, Tensor], Mapping[str, str]], None]] = {
    ".safetensors": weights_file.write,
    ".bin": _write_pickle,
}
"""Suffix -> how such a file is written."""


def _carried(source: Path) -> dict[str, str]:
    """What the source says of itself, such as steps and data, but for hashes of its own bytes."""
    said = weights_file.read_metadata(source) if source.is_file() else {}
    return {name: value for name, value in said.items() if name != "format" and not name.startswith(OF_THE_FILE)}


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    for pattern in WEIGHTS:
        if files := sorted(path.glob(pattern)):
            return files
    raise CheckpointError(f"The folder {path} holds no training checkpoint; expected one of {', '.join(WEIGHTS)}.")
