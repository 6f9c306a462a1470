"""How deep tuples stand in each other in a pickle: Python compares and frees them by recursion, which can end it."""

from __future__ import annotations

import pickletools
from typing import IO

DEEPEST = 16
"""Torch writes two."""
PICKLES = 5
"""Of an old-style file, one after the other."""


def too_deep(file: IO[bytes], pickles: int = 1) -> bool:
    """Whether a tuple stands in more than DEEPEST others; nothing is carried out. What cannot be followed is not."""
    try:
        return any(_deepest(file) > DEEPEST for _ in range(pickles))
    except (ValueError, IndexError, KeyError):  # cut short, or no pickle: its reader says so
        return False


def _deepest(file: IO[bytes]) -> int:
    """Follows the stack, of which it keeps how deep each thing is; None is a mark."""
    stack: list[int | None] = []
    memo: dict[object, int | None] = {}
    deepest = 0
    for code, argument, _ in pickletools.genops(file):
        if "PUT" in code.name or code.name == "MEMOIZE":
            memo[len(memo) if argument is None else argument] = stack[-1]
            continue
        if "GET" in code.name:
            stack.append(memo[argument])
            continue
        inside = _taken(stack, code)
        depth = max(inside, default=0) + 1 if code.name.startswith("TUPLE") else 0
        deepest = max(deepest, depth)
        stack += [None if made is pickletools.markobject else depth for made in code.stack_after]
    return deepest


def _taken(stack: list[int | None], code: pickletools.OpcodeInfo) -> list[int]:
    """What an instruction takes from the stack."""
    before = list(code.stack_before)
    inside: list[int | None] = []
    if pickletools.markobject in before:
        while stack[-1] is not None:
            inside.append(stack.pop())
        stack.pop()
        before = before[: before.index(pickletools.markobject)]
    if before:
        inside += stack[-len(before) :]
        del stack[-len(before) :]
    return [depth for depth in inside if depth is not None]
