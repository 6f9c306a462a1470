"""What an adapter needs beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import encoder_sizes
from lib_ipadapter.model.encoder_files import encoder_parts
from lib_ipadapter.session.files import list_encoders
from lib_ipadapter.session.published import PUBLISHED
from lib_ipadapter.session.remote import Published


def with_encoder(item: Published, encoder_folders: Sequence[Path]) -> list[Published]:
    """`item`, before it the encoder that it needs, unless one of that width is in `encoder_folders` already."""
    needed = [other for other in PUBLISHED if other.name == item.encoder]
    return [*(encoder for encoder in needed if not _has_encoder(encoder, encoder_folders)), item]


def _has_encoder(encoder: Published, folders: Sequence[Path]) -> bool:
    return any(_hidden_size(file.path) == encoder.hidden_size for file in list_encoders(folders, encoder_parts))


def _hidden_size(path: Path) -> int:
    try:
        return encoder_sizes.read_sizes(path).hidden_size
    except CheckpointError:
        return 0
