"""Key -> shape of what ``torch.save`` has written, without building a tensor: a FaceID file has 294 of them.

Whatever `pickle_reader` does not know is left to torch's own reader, which refuses code.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Mapping
from typing import TypeVar

from lib_ipadapter.model.pickle_reader import Reader
from lib_ipadapter.model.pickle_stand_ins import Header

LARGEST = 8 << 20
"""Bytes of a header that is looked at here; one of 16000 tensors has about 2 MB."""
LONGEST = 4096
"""Characters of a key, with those of the dictionaries around it."""
LONGEST_TOGETHER = 8 << 20
"""Characters of all keys, each with those around it: as many as the largest header has bytes."""

Leaf = TypeVar("Leaf")


def read_shapes(archive: zipfile.ZipFile) -> dict[str, tuple[int, ...]] | None:
    """Dotted key -> shape of every tensor in an opened file; None where torch itself has to read it."""
    members = archive.infolist()
    sizes = {member.filename: member.file_size for member in members}
    folder = members[0].filename.partition("/")[0] + "/" if members else ""
    header = f"{folder}data.pkl"
    if len(sizes) != len(members) or sizes.get(header, LARGEST + 1) > LARGEST:
        return None
    try:
        content = Reader(archive.read(header), f"{folder}data/", sizes).load()
        return {key: found.shape for key, found in flat(content, Header).items()}
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, struct.error):
        return None


def flat(content: object, leaf: type[Leaf]) -> dict[str, Leaf]:
    """Nested dictionaries as dotted keys; whatever is no `leaf` is left out. Raises `ValueError` for endless keys.

    A dictionary that stands in several places counts in the first: a file of 1 kB may hold one inside another so that
    there are more ways to it than ever could be gone.
    """
    found: dict[str, Leaf] = {}
    seen: set[int] = set()
    letters = 0
    waiting: list[tuple[str, object]] = [("", content)]
    while waiting:
        name, part = waiting.pop()
        if isinstance(part, leaf):
            found[name] = part
        elif isinstance(part, Mapping) and id(part) not in seen:
            seen.add(id(part))
            # Other things first of all: under one long name there may stand very many.
            for key in reversed([key for key in part if isinstance(part[key], (leaf, Mapping))]):
                whole = f"{name}.{key}" if name else str(key)
                letters += len(whole)
                if len(whole) > LONGEST or letters > LONGEST_TOGETHER:
                    raise ValueError("its keys are longer than any model's")
                waiting.append((whole, part[key]))
    return found
