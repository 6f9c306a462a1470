"""PyTorch's own files, a zip or one pickle after the other: looked at before torch is let near them."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import pickle_header
from lib_ipadapter.model.pickle_archive import BEGIN, check_archive
from lib_ipadapter.model.pickle_depth import PICKLES, too_deep
from lib_ipadapter.model.pickle_header import flat

WHOLE_PICKLE_LIMIT = 1 << 30
"""Bytes. An old-style pickle has to be read whole to be looked at; no published adapter is one."""


def read_pickle(path: Path, *, shapes_only: bool) -> dict[str, Any]:
    """A zip is looked at without torch where that is enough for its shapes; all else ``torch.load`` reads."""
    zipped = _is_zip(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            check_archive(archive, path)
            if shapes_only and (shapes := pickle_header.read_shapes(archive)) is not None:
                return shapes
            for member in archive.infolist():
                if member.filename.casefold().endswith("data.pkl"):
                    _check_depth(io.BytesIO(archive.read(member)), path)
    elif path.stat().st_size > WHOLE_PICKLE_LIMIT:
        raise CheckpointError(f"{path.name} is an old-style PyTorch file of over 1 GB; convert it to safetensors.")
    else:
        with path.open("rb") as file:
            _check_depth(file, path, PICKLES)
    found = _load_pickle(path, zipped)
    return {key: tuple(t.shape) if shapes_only else t for key, t in found.items()}


def _load_pickle(path: Path, zipped: bool) -> dict[str, Tensor]:
    """``torch.load`` with memory mapping, so that nothing is read that is not used.

    The loader is taken from `torch.serialization`, because the WebUI replaces ``torch.load`` by one that
    falls back to the unsafe unpickler and refuses what today's torch writes.
    """
    # torch 2.13 goes by the suffix, and only for names; mapping needs a name, in torch 2.1 one that is a string.
    mapped = zipped and path.suffix != ".safetensors"
    with path.open("rb") as file:
        source = str(path) if mapped else file
        content = torch.serialization.load(source, map_location="cpu", weights_only=True, mmap=mapped)
    found = flat(content, Tensor)
    for key, tensor in found.items():
        # With steps of zero a pickle of some bytes claims terabytes, which the first that computes would allocate.
        held = 0 if tensor.is_meta else tensor.untyped_storage().nbytes()
        if tensor.nbytes > held:
            raise CheckpointError(
                f"{path.name} is damaged: {key[:60]} claims more values than the file holds; download it again."
            )
    return found


def _is_zip(path: Path) -> bool:
    """To torch; Python looks for a zip's end only, and would pass by one whose end torch alone finds."""
    with path.open("rb") as file:
        return file.read(len(BEGIN)) == BEGIN


def _check_depth(file: IO[bytes], path: Path, pickles: int = 1) -> None:
    """Before torch sees it, whose reader would end the process."""
    if too_deep(file, pickles):
        raise CheckpointError(f"{path.name} is damaged: no weights are nested as deep as these; download it again.")
