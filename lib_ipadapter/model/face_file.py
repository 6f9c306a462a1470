"""Ready-made face embeddings: as files, and as the numbers that an API is given."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError, reason
from lib_ipadapter.maths.precision import finite
from lib_ipadapter.model import weights_file
from lib_ipadapter.model.face import WIDTH

KEY = "face"
"""Name of the tensor in a safetensors file."""

MAX_FACES = 16
"""Rows in one file or one unit."""

MAX_BYTES = 1 << 20
"""Of a file; the most faces take 0.1 MB in float64."""

NPY = b"\x93NUMPY"


def write_face(path: Path, raw: Tensor) -> None:
    """A safetensors file of embeddings ``[faces, 512]``, as the network gives them."""
    weights_file.write(path, {KEY: raw.float()})


def read_face(path: Path) -> Tensor:
    """Embeddings ``[faces, 512]``, float32, of a safetensors file or a .npy. Raises `CheckpointError`."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path.name} is no saved face: it has over {MAX_BYTES >> 20} MB; choose another.")
        found = _read_npy(path) if _is_npy(path) else weights_file.read_any(path).get(KEY)
    except (OSError, ValueError, TypeError, MemoryError) as error:  # a header may claim any type, and any shape
        raise CheckpointError(f"{path.name} cannot be read ({reason(error)}); write it again.") from error
    if found is None:
        raise CheckpointError(
            f"{path.name} holds no face embedding: expected a tensor called {KEY!r}; make one with"
            " `python -m lib_ipadapter face PICTURE OUT.safetensors`."
        )
    if misfit := why_no_face(found):
        raise CheckpointError(f"{path.name} holds no face embedding: {misfit}; write it again.")
    return as_rows(found)


def why_no_face(embedding: Tensor) -> str:
    """Why a tensor is not one to `MAX_FACES` embeddings, in a few words; empty when it is."""
    shape = list(embedding.shape)
    if not embedding.is_floating_point() or shape[-1:] != [WIDTH] or len(shape) > 2:
        return f"expected numbers of shape [{WIDTH}] or [faces, {WIDTH}], got {embedding.dtype} of shape {shape}"
    if not 1 <= math.prod(shape[:-1]) <= MAX_FACES:
        return f"expected 1 to {MAX_FACES} faces, got {math.prod(shape[:-1])}"
    rows = as_rows(embedding)
    if not finite(rows) or not rows.any(dim=-1).all():
        return "it has values that are not numbers, or nothing but zeros"
    return ""


def as_rows(embedding: Tensor) -> Tensor:
    """``[512]`` or ``[faces, 512]`` -> ``[faces, 512]`` in float32."""
    return embedding.float().reshape(-1, WIDTH)


def _is_npy(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(NPY)) == NPY


def _read_npy(path: Path) -> Tensor:
    return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float32))
