"""The image encoder that an adapter needs, found among those that are there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from lib_ipadapter.errors import CheckpointError, UnitError, headline
from lib_ipadapter.model.encoder_files import encoder_parts
from lib_ipadapter.model.encoder_sizes import EncoderSizes
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.session.files import every_encoder
from lib_ipadapter.session.naming import looked_at, named

Sizes = Callable[[Path], EncoderSizes]
"""Looks at the encoder at a path; raises `CheckpointError` where none is."""


def find_encoder(variant: Variant, folders: Sequence[Path], name: str | None, sizes: Sizes) -> Path:
    """The encoder called `name`, or the first in `folders` that gives features of the width the adapter needs.

    Raises `UnitError` that says which is needed, what is there, why not each of them, and where was searched.
    """
    files = every_encoder(folders, encoder_parts)
    chosen = [file for file in (named(name, files) if name else None,) if file]
    rejected: dict[str, str] = {}
    for file in chosen or files:
        rejected[file.name] = _why_not(file.path, variant, sizes)
        if not rejected[file.name] and (chosen or not name):
            return file.path
    needed = f"it needs {variant.encoder}, {variant.feature_label}"
    if chosen:
        raise UnitError(
            f"The image encoder {name!r} cannot serve this adapter, {needed}: {rejected[chosen[0].name]};"
            " leave the field encoder empty, and one that fits is taken."
        )
    asked = f"There is no image encoder called {name!r}" if name else "No image encoder for this adapter"
    seen = looked_at(name or needed, {file: why or "it fits" for file, why in rejected.items()})
    raise UnitError(
        f"{asked}: {needed}; searched {', '.join(map(str, folders))}{seen};"
        f" put its folder or file into {' or '.join(map(str, folders[:2]))}."
    )


def in_short(error: CheckpointError, path: Path) -> str:
    """What is wrong with the file at `path`, for a list that has its name already: no name, no advice."""
    reason = headline(str(error))
    for beginning in (f"The image encoder {path.name} ", f"{path.name} ", "This file "):
        reason = reason.removeprefix(beginning)
    return reason


def _why_not(path: Path, variant: Variant, sizes: Sizes) -> str:
    try:
        return sizes(path).why_not(variant)
    except CheckpointError as error:
        return in_short(error, path)
