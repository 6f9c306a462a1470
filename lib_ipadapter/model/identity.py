"""What an adapter file is: by its shapes, and where several kinds have the same, by what else it says of itself.

First the metadata of a safetensors file, then the hash of its content, then its name. What none of them tells is left
to the user: a wrong kind would draw pictures that only look like a weak adapter.

Only what may be a published file by its shapes and its size is hashed, and only when it is opened: a list takes the
size for the content. The size of FaceID-plus for SD1.5 is not known, so every FaceID-plus file of which metadata says
nothing is hashed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lib_ipadapter.errors import AmbiguousError, CheckpointError
from lib_ipadapter.model.checkpoint import read_shapes
from lib_ipadapter.model.detection import detect
from lib_ipadapter.model.variant import Kind, Shapes, Variant
from lib_ipadapter.model.weights_file import read_metadata, sha256

Kinds = tuple[str, ...]
"""What a file may be by its shapes."""

INSTANT_ID = "instantid"
"""Has the shapes of portrait-unnorm, and is another thing."""


class Depth(Enum):
    """How far a file may be read to tell what it is."""

    HEADER = "header"
    """For lists: milliseconds, whatever the file's size."""
    CONTENT = "content"
    """For use."""


@dataclass(frozen=True)
class Known:
    """A published file that has twins."""

    kind: str
    size: int | None
    """In bytes; None where it is not known."""
    sha256: str


KNOWN = {
    "ip-adapter-faceid-plus_sd15.bin": Known(
        Kind.FACEID_PLUS, None, "252fb53e0d018489d9e7f9b9e2001a52ff700e491894011ada7cfb471e0fadf2"
    ),
    "ip-adapter-faceid-plusv2_sd15.bin": Known(
        Kind.FACEID_PLUS_V2, 156558509, "26d0d86a1d60d6cc811d3b8862178b461e1eeb651e6fe2b72ba17aa95411e313"
    ),
    "ip-adapter-faceid-plusv2_sdxl.bin": Known(
        Kind.FACEID_PLUS_V2, 1487555181, "c6945d82b543700cc3ccbb98d363b837e9c596281607857c74b713a876daf5fb"
    ),
    "ip-adapter-faceid-portrait_sdxl_unnorm.bin": Known(
        Kind.PORTRAIT_UNNORM, 1009523411, "220bb86e205393a3d0411631cb473caddbf35fd371be2905ca9008818170db55"
    ),
    "ip-adapter.bin": Known(INSTANT_ID, 1691134141, "02b3618e36d803784166660520098089a81388e61a93ef8002aa79a5b1c546e1"),
}
"""Published name -> file; a file is known by its content, whatever its own name.

From h94/IP-Adapter-FaceID and InstantX/InstantID; sizes are those of public lists."""

NAMES = {
    r"face[-_ ]?id[-_ ]?plus[-_ ]?v2": Kind.FACEID_PLUS_V2,
    r"face[-_ ]?id[-_ ]?plus(?![-_ ]?v)": Kind.FACEID_PLUS,
    r"unnorm": Kind.PORTRAIT_UNNORM,
    r"instant[-_ ]?id": INSTANT_ID,
}
"""Pattern in a file's name, whatever the case -> kind. The first that is found."""


def identify(path: Path, choice: Kind | None = None, depth: Depth = Depth.CONTENT) -> Variant:
    """What the adapter file at `path` is, from its header; the content is read only where shapes do not tell.

    `choice`: what the user has said that it is, which outweighs metadata, content and name, but never the shapes.
    Raises `AmbiguousError`, which has the choices, and `CheckpointError`.
    """
    return identified(read_shapes(path), path, choice, depth)


def identified(shapes: Shapes, path: Path, choice: Kind | None = None, depth: Depth = Depth.CONTENT) -> Variant:
    """What the adapter file at `path` is, as `identify`, where its shapes are known already."""
    try:
        return _detected(shapes, path, choice)
    except AmbiguousError as error:
        kind = next(_hints(path, error.choices, depth), None)
        if kind is None:
            raise
    if kind == INSTANT_ID:
        raise CheckpointError(
            f"{path.name} is InstantID, which needs its own ControlNet and cannot be used here;"
            " choose a FaceID adapter."
        )
    return _detected(shapes, path, Kind(kind))


def _detected(shapes: Shapes, path: Path, choice: Kind | None) -> Variant:
    """By shapes alone, which know no name; what is said of the file names it."""
    try:
        return detect(shapes, choice)
    except CheckpointError as error:
        sentence, *rest = error.args
        raise type(error)(sentence.replace("This file", path.name, 1), *rest) from None


def _hints(path: Path, choices: tuple[str, ...], depth: Depth) -> Iterator[str]:
    """Kinds that the file may be, the most trustworthy source first; later ones are asked only when needed."""
    possible = (*choices, INSTANT_ID)
    for hint in HINTS[depth]:
        if (found := hint(path, possible)) in possible:
            yield found


def _by_metadata(path: Path, _: Kinds) -> str:
    return read_metadata(path).get("variant", "") if path.is_file() else ""


def _by_content(path: Path, possible: Kinds) -> str:
    like = [known for known in _published(path, possible) if known.size in (None, _size(path))]
    digest = sha256(path) if like else ""
    return next((known.kind for known in like if known.sha256 == digest), "")


def _by_size(path: Path, possible: Kinds) -> str:
    return next((known.kind for known in _published(path, possible) if known.size == _size(path)), "")


def _published(path: Path, possible: Kinds) -> list[Known]:
    """Published files of the kinds that the file at `path` may be; none where it is a folder."""
    return [known for known in KNOWN.values() if known.kind in possible] if path.is_file() else []


def _by_name(path: Path, _: Kinds) -> str:
    return next((kind for pattern, kind in NAMES.items() if re.search(pattern, path.name, re.IGNORECASE)), "")


def _size(path: Path) -> int:
    return path.stat().st_size


HINTS: dict[Depth, tuple[Callable[[Path, Kinds], str], ...]] = {
    Depth.CONTENT: (_by_metadata, _by_content, _by_name),
    Depth.HEADER: (_by_metadata, _by_size, _by_name),
}
