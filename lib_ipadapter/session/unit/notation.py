"""Curves, layers and grids as people write them in one line of text, and as an API sends them.

What is wrong with one raises `ValueError` with a few words for the sentence that the field's parser makes of it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lib_ipadapter.maths.curves import Curve, Point
from lib_ipadapter.maths.scales import Grid
from lib_ipadapter.maths.structure import STRUCTURES

Layers = Mapping[int, float] | tuple[float, ...]
"""Scales of some blocks by number, the others 0; or one for each block or layer of a UNet, in run order."""

LIMIT = 5.0
"""Of a factor, to either side: the peers' range."""
LONGEST = 32_768
"""Characters."""
DEEPEST = 8
"""Brackets within brackets."""
LARGEST = 256
"""Numbers in a row."""
COUNTS = sorted({count for one in STRUCTURES.values() for count in (one.blocks, one.layers)})
"""Numbers in a whole list."""
COMMAS_OR_SPACES = r"\s*,\s*|\s+"


def text_of(value: Any) -> str:
    """Whatever form a curve, layers or a grid comes in, as text; text is kept as it was written, on one line."""
    if value is None:
        return ""
    if isinstance(value, str):
        text = " ".join(value.split())
    elif isinstance(value, Mapping):
        text = ", ".join(f"{key}:{_written(number)}" for key, number in value.items())
    elif isinstance(value, (list, tuple)):
        text = _rows(value) if any(isinstance(row, (list, tuple)) for row in value) else _row(value)
    else:
        text = _written(value)
    if len(text) > LONGEST:
        raise ValueError(f"it is {len(text)} characters long")
    return text


def points_of(value: Any) -> Any:
    """A curve's list of pairs as the mapping's text; anything else as it is."""
    pairs = isinstance(value, (list, tuple)) and value and all(isinstance(p, (list, tuple)) for p in value)
    if not pairs:
        return value
    if any(len(pair) != 2 for pair in value):
        raise ValueError("each point is a pair")
    return ", ".join(f"{_written(where)}:{_written(level)}" for where, level in value)


def read_curve(text: str) -> Curve:
    """``0:1, 0.5:0.3, 1:0``, ``[0.3:0.9:0.5]`` as in a prompt, or one number."""
    if text.startswith("["):
        return Curve.steps(_changes(text, DEEPEST))
    points = [_point(part) for part in _parts(text)] if ":" in text else []
    if any(left > right for (left, _), (right, _) in itertools.pairwise(points)):
        raise ValueError("its points must go from left to right")
    return Curve(tuple(points)) if points or not text else Curve(((0.0, _number(text)),))


def read_layers(text: str) -> Layers:
    """``0:1, 4:0.25, 5:-1`` by number of the block in run order, or all numbers."""
    parts = _parts(text)
    if not any(":" in part for part in parts):
        if len(parts) not in (0, *COUNTS):
            raise ValueError(f"{len(parts)} are neither {' nor '.join(map(str, COUNTS))}")
        return tuple(map(_number, parts))
    found: dict[int, float] = {}
    for part in parts:
        block, _, scale = part.partition(":")
        if not block.strip().isdecimal() or int(block[:9]) >= max(one.blocks for one in STRUCTURES.values()):
            raise ValueError(f"{block.strip()[:9] or 'nothing'} is no block")
        found[int(block)] = _number(scale)
    return found


def read_grid(text: str) -> Grid:
    """``1, 0; 0.5, 1`` or ``1 0; 0.5 1;``: rows from the first layer to the last, each from first step to last."""
    lines = text.strip().removesuffix(";").split(";") if text else []
    rows = tuple(tuple(map(_number, _parts(line, COMMAS_OR_SPACES))) for line in lines)
    if len(rows) > LARGEST or not all(rows):
        raise ValueError("a row is empty" if len(rows) <= LARGEST else f"it has {len(rows)} rows")
    return Grid(rows)


def _changes(text: str, depth: int) -> list[Point]:
    """Where each level begins, the first at 0, of ``[from:to:when]``, ``[to:when]`` or ``[from::when]``."""
    if not text.startswith("["):
        return [(0.0, _number(text) if text else 0.0)]
    parts = _split(text[1:-1]) if text.endswith("]") and depth else []
    if len(parts) not in (2, 3):
        raise ValueError("brackets are [from:to:when]")
    when = _fraction(parts[-1])
    before, after = (_changes(part.strip(), depth - 1) for part in ("", *parts)[-3:-1])
    level = next(level for where, level in reversed(after) if where <= when)
    return [*(p for p in before if p[0] < when), (when, level), *(p for p in after if p[0] > when)]


def _split(text: str) -> list[str]:
    """At colons outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "[") - (letter == "]")
        if letter == ":" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _parts(text: str, between: str = ",") -> list[str]:
    parts = re.split(between, text.strip()) if text.strip() else []
    if len(parts) > LARGEST:
        raise ValueError(f"it has {len(parts)} numbers")
    return parts


def _point(text: str) -> Point:
    where, _, level = text.partition(":")
    return _fraction(where), _number(level)


def _fraction(text: str) -> float:
    return _between(text, 0.0, 1.0, "part of the steps, from 0 to 1; a step's number is none")


def _number(text: str) -> float:
    return _between(text, -LIMIT, LIMIT, f"number from {-LIMIT:g} to {LIMIT:g}")


def _between(text: str, low: float, high: float, what: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        raise ValueError(f"{text.strip()[:12] or 'nothing'} is no {what}")
    return number


def _rows(rows: Sequence[Any]) -> str:
    if any(row in ([], (), "") for row in rows):
        raise ValueError("a row is empty")
    return "; ".join(_row(row) if isinstance(row, (list, tuple)) else _written(row) for row in rows)


def _row(numbers: Sequence[Any]) -> str:
    return ", ".join(map(_written, numbers))


def _written(number: Any) -> str:
    if isinstance(number, bool) or not isinstance(number, (int, float, str)):
        raise ValueError(f"{type(number).__name__} is no number")  # noqa: TRY004 - the caller makes a sentence of it
    return number.strip() if isinstance(number, str) else repr(number)
