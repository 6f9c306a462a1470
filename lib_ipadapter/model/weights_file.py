"""Files of weights, whatever is in them: which format, header or whole; written whole or not at all.

The format is decided by content, never by suffix, and a pickle is only ever read with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import json
import pickle
from collections.abc import Callable, Collection, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError, reason, unreadable
from lib_ipadapter.model.pickle_file import read_pickle
from lib_ipadapter.model.writing import whole

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".sft")
"""Only by these a file in a folder is looked at at all; what it is, its content says."""


def read_any(path: Path, only: Collection[str] | None = None) -> dict[str, Tensor]:
    """Every tensor of any weights file, or `only` these, on the CPU, each under its own key.

    Keys of nested dictionaries are joined by dots.
    """
    return _open(path, shapes_only=False, only=only)


def read_any_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Key -> shape of every tensor of any weights file.

    Without the weights: it takes milliseconds, whatever the size of a safetensors file or a zip.
    """
    return _open(path, shapes_only=True)


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself; empty where it says nothing, or is of another format."""
    with _as_sentence(path):
        head, _ = _sniff(path)
        if head[8:9] != b"{":
            return {}
        with safetensors.safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})


def write(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    check: Callable[[Path], None] = lambda _: None,
) -> None:
    """A safetensors file of `tensors` that `check` has looked at. Raises `CheckpointError`, and leaves the old one."""
    contiguous = {key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}
    with whole(path) as part:
        part.touch()
        usual = part.stat().st_mode
        safetensors.torch.save_file(contiguous, part, {"format": "pt", **(metadata or {})})
        part.chmod(usual)  # safetensors since 0.8 would let nobody else read it
        check(part)


def sha256(path: Path) -> str:
    """Hash of the whole file, in hex. Reads all of it."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _open(path: Path, *, shapes_only: bool, only: Collection[str] | None = None) -> dict[str, Any]:
    """Flat key -> tensor or shape, of `only` these keys, by the reader that the first bytes ask for."""
    with _as_sentence(path):
        head, size = _sniff(path)
        if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < size:
            return _read_safetensors(path, shapes_only=shapes_only, only=only)
        if head.startswith((b"PK\x03\x04", b"\x80")):
            found = read_pickle(path, shapes_only=shapes_only)
            return {key: found[key] for key in only} if only is not None else found
    raise CheckpointError(f"{path.name} is {_not_weights(head)}; download it again.")


def _sniff(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(64), path.stat().st_size


def _not_weights(head: bytes) -> str:
    if not head:
        return "an empty file"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the file it points to"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not a model"
    return "neither a safetensors nor a PyTorch file, or it is cut short"


def _read_safetensors(path: Path, *, shapes_only: bool, only: Collection[str] | None) -> dict[str, Any]:
    with safetensors.safe_open(path, framework="pt") as file:
        keys = file.keys() if only is None else only
        if shapes_only:
            header = _safetensors_header(path)
            return {key: tuple(header[key]["shape"]) for key in keys}
        return {key: file.get_tensor(key) for key in keys}


def _safetensors_header(path: Path) -> dict[str, Any]:
    """The header of a file that `safe_open` has found sound; to ask that for each shape takes three times as long."""
    with path.open("rb") as file:
        return json.loads(file.read(int.from_bytes(file.read(8), "little")))


@contextmanager
def _as_sentence(path: Path):
    """Turns what the readers raise into one sentence."""
    try:
        yield
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(f"There is no file {path}.") from None
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path.name} holds code besides weights, or is cut short, and was not run;"
            " get the safetensors version of it."
        ) from None
    except Exception as error:  # a damaged pickle can make the unpickler raise anything
        why = reason(error).split(". ")[0]
        raise unreadable(error, path.name, f"{path.name} cannot be read ({why}); download it again.") from error
