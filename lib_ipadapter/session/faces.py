"""Face embeddings that the user has brought: as numbers, or as the name of a saved file."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face import WIDTH
from lib_ipadapter.model.face_file import MAX_FACES, read_face, why_no_face
from lib_ipadapter.session.files import ModelFile, list_files, saved_folders
from lib_ipadapter.session.given import LONGEST_FILE_NAME, Given, plain_name
from lib_ipadapter.session.naming import find_saved

FOLDER = "faces"
"""Below an adapter folder: where saved faces are searched."""

SUFFIXES = (".safetensors", ".npy")

MAX_ENCODED = 4 * math.ceil(MAX_FACES * WIDTH * 4 / 3) + 1024

EXPECTED = f"{WIDTH} numbers, a list of such, their float32 bytes in base64, or a saved face's name"


class FaceCombination(str, Enum):
    """How the faces of one unit become one image prompt."""

    AVERAGE = "average"
    """Their mean, of length 1 again where the adapter was trained on that: one face between them."""
    CONCAT = "concat"
    """The tokens of each, one after the other, as portrait adapters were meant to be used with up to five."""


class GivenFace(Given):
    """What a unit's field `face` holds; the data are embeddings, row by row, float32."""

    @classmethod
    def parse(cls, value: Any) -> GivenFace | None:
        """Any form that a user may give. Raises `UnitError`."""
        if value is None or isinstance(value, cls):
            return value
        if not isinstance(value, str):
            return cls(data=_checked(_numbers(value)))
        name = plain_name(value)
        if not name:
            return None
        return cls(name=name) if len(name) <= LONGEST_FILE_NAME else cls(data=_checked(_decoded(value)))

    @property
    def count(self) -> int | None:
        """How many faces these are; None where only the file tells."""
        return None if self.name else len(self.data) // (4 * WIDTH)

    def read(self, folders: Sequence[Path]) -> Tensor:
        """Raw embeddings ``[faces, 512]``; a name is searched in `folders`. Raises `IPAdapterError`."""
        return read_face(find_face(self.name, folders).path) if self.name else _tensor(self.data)


def face_folders(adapter_folders: Sequence[Path]) -> list[Path]:
    """Where saved faces are searched; the first is where a user should put them."""
    return saved_folders(adapter_folders, FOLDER)


def list_faces(folders: Sequence[Path]) -> list[ModelFile]:
    """Everything in `folders` that could be a saved face, by name."""
    return list_files(folders, SUFFIXES)


def find_face(name: str, folders: Sequence[Path]) -> ModelFile:
    """The saved face called `name`, spelled as freely as an adapter's. Raises `UnitError`."""
    return find_saved("face", name, list_faces(folders), folders)


def _decoded(text: str) -> Tensor:
    if len(text) > MAX_ENCODED:
        raise UnitError(f"IP-Adapter: face has {len(text)} characters of base64; the limit is {MAX_FACES} faces.")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise UnitError(f"IP-Adapter: face must be {EXPECTED}; this is no base64: {text[:24]!r}.") from None
    if len(data) % (4 * WIDTH):
        raise UnitError(f"IP-Adapter: face must be {EXPECTED}; got {len(data)} bytes, not a multiple of {4 * WIDTH}.")
    return _tensor(data)


def _numbers(value: Any) -> Tensor:
    try:
        return torch.tensor(value, dtype=torch.float32)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise UnitError(f"IP-Adapter: face must be {EXPECTED}; got {type(value).__name__}.") from None


def _checked(embedding: Tensor) -> bytes:
    if misfit := why_no_face(embedding):
        raise UnitError(f"IP-Adapter: face cannot be used: {misfit}.")
    return embedding.contiguous().numpy().tobytes()


def _tensor(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.float32).reshape(-1, WIDTH)
