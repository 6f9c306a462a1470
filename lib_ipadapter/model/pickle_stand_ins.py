"""What stands in a file of ``torch.save`` beside dictionaries, lists and numbers, and what is taken in its place."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

DIMENSIONS = 64
"""Torch's own limit."""

STORAGES = {
    "torch DoubleStorage": 8,
    "torch LongStorage": 8,
    "torch FloatStorage": 4,
    "torch IntStorage": 4,
    "torch HalfStorage": 2,
    "torch BFloat16Storage": 2,
    "torch ShortStorage": 2,
    "torch CharStorage": 1,
    "torch ByteStorage": 1,
    "torch BoolStorage": 1,
}
"""Torch's class for the memory of a tensor -> bytes of a value."""


class Name(str):
    """Of a class or function that is known here."""

    __slots__ = ()


class Storage(NamedTuple):
    """All that is wanted of a tensor's memory."""

    values: int
    """How many fit into it."""


class Header(NamedTuple):
    """All that is wanted of a tensor."""

    shape: tuple[int, ...]


def _dictionary() -> dict[Any, Any]:
    return {}


def _tensor(storage: Any, offset: Any, shape: Any, steps: Any, *_: Any) -> Header:
    if type(storage) is not Storage or len(shape) != len(steps) or len(shape) > DIMENSIONS:
        raise ValueError("no tensor")
    if any(type(value) is not int or not 0 <= value < 1 << 63 for value in (offset, *shape, *steps)):
        raise ValueError("no numbers")
    values = math.prod(shape)
    last = offset + sum((length - 1) * step for length, step in zip(shape, steps, strict=True))
    if values > storage.values or (values and last >= storage.values):
        raise ValueError("outside of its memory")
    return Header(tuple(shape))


def _parameter(header: Any, *_: Any) -> Header:
    if type(header) is not Header:
        raise ValueError("no tensor")
    return header


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _dictionary,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch._utils _rebuild_parameter": _parameter,
}
