"""Key -> shape of what ``torch.save`` has written, without building a tensor: a FaceID file has 294 of them.

Nothing in a file is trusted. Only instructions that torch writes for plain dictionaries of tensors are carried out, and
only classes by which it names a tensor; whatever else a file holds is left to torch's own reader, which refuses code.
"""

from __future__ import annotations

import io
import pickle
import re
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

LARGEST = 8 << 20
"""Bytes of a header that is looked at here; one of 16000 tensors has about 2 MB."""

PLAIN = re.compile(
    rb"(?:[()\]}Natseu\x85-\x89RQ]|K.|M..|J....|G........|h.|j....|q.|r..[\x00-\x0f]\x00|\x80\x02)*", re.DOTALL
)
"""Instructions of pickle's protocol 2 that have a fixed length and can do no harm. A place in the memo is bounded:
the reader makes room for as many as the largest says."""
TEXT, CLASS, END = b"X", re.compile(rb"c([\w.]+)\n(\w+)\n"), b"."

BYTES = {
    "DoubleStorage": 8,
    "LongStorage": 8,
    "FloatStorage": 4,
    "IntStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
}
"""Torch's class for the memory of a tensor -> bytes of a value."""


class _Storage(NamedTuple):
    values: int


class _Header(NamedTuple):
    """All that is wanted of a tensor."""

    shape: tuple[int, ...]


Leaf = TypeVar("Leaf")


def read_shapes(archive: zipfile.ZipFile) -> dict[str, tuple[int, ...]] | None:
    """Dotted key -> shape of every tensor in an opened file; None where torch itself has to read it."""
    sizes = {member.filename: member.file_size for member in archive.infolist()}
    names = [name for name in sizes if name.rpartition("/")[2] == "data.pkl"]
    if len(names) != 1 or sizes[names[0]] > LARGEST:
        return None
    header = archive.read(names[0])
    if not _is_plain(header):
        return None
    try:
        content = _Reader(header, names[0].removesuffix("data.pkl"), sizes).load()
    except Exception:  # a damaged pickle can raise anything; torch's reader says what is wrong with it
        return None
    return {key: header.shape for key, header in flat(content, _Header).items()}


def flat(content: object, leaf: type[Leaf]) -> dict[str, Leaf]:
    """Nested dictionaries as dotted keys; whatever is no `leaf` is left out.

    A dictionary that stands in several places counts in the first: a file of 1 kB may hold one inside another so that
    there are more ways to it than ever could be gone.
    """
    found: dict[str, Leaf] = {}
    seen: set[int] = set()
    waiting = [("", content)]
    while waiting:
        name, part = waiting.pop()
        if isinstance(part, leaf):
            found[name] = part
        elif isinstance(part, Mapping) and id(part) not in seen:
            seen.add(id(part))
            waiting += [(f"{name}.{key}" if name else str(key), part[key]) for key in reversed(list(part))]
    return found


def _is_plain(header: bytes) -> bool:
    """Whether it has no instruction beside PLAIN, texts and classes, and ends."""
    place = 0
    while place < len(header):
        place = _end(PLAIN.match(header, place))
        if header[place : place + 1] == TEXT:
            place += 5 + int.from_bytes(header[place + 1 : place + 5], "little")
        elif found := CLASS.match(header, place):
            place = found.end()
        else:
            return header[place:] == END
    return False


def _end(found: re.Match[bytes] | None) -> int:
    assert found, "the pattern matches nothing at all, too"
    return found.end()


class _Reader(pickle.Unpickler):
    """Makes dictionaries, numbers, texts, and headers in place of tensors."""

    def __init__(self, header: bytes, folder: str, sizes: Mapping[str, int]) -> None:
        """`folder`: of the archive, with a slash; `sizes`: of its members."""
        super().__init__(io.BytesIO(header))
        self._folder = folder
        self._sizes = sizes

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if module_name == "torch" and global_name in BYTES:
            return global_name
        known = {("collections", "OrderedDict"): _Dictionary(), ("torch._utils", "_rebuild_tensor_v2"): _Tensor()}
        return known[module_name, global_name]

    def persistent_load(self, pid: Any, /) -> _Storage:
        kind, storage, key, _, values = pid
        held = self._sizes[f"{self._folder}data/{key}"]
        if kind != "storage" or values * BYTES[storage] > held:
            raise ValueError("more than the file holds")
        return _Storage(values)


class _Dictionary:
    """In place of a class: one by which a file can change nothing."""

    __slots__ = ()

    def __call__(self) -> dict[Any, Any]:
        return {}


class _Tensor:
    """In place of torch's function."""

    __slots__ = ()

    def __call__(self, storage: _Storage, offset: int, shape: tuple[int, ...], steps: tuple[int, ...], *_: Any) -> Any:
        values = 1
        for length in shape:
            values *= length
        last = offset + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
        if min(offset, *shape, *steps, 0) < 0 or values > storage.values or (values and last >= storage.values):
            raise ValueError("outside of its memory")
        return _Header(tuple(shape))
