"""Key names with marks in braces, which both sides of a table of layouts share."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

MARKS = {"rest": r".+", "part": r"weight|bias", "i": r"\d+", "place": r".+\.attn[12]", "number": r"\d+"}
"""Mark -> what it may stand for."""


def matches(template: str, keys: Iterable[str]) -> list[dict[str, str]]:
    """What the marks of `template` stand for, in every key that has this form."""
    parts = re.split(r"\{(\w+)\}", template)
    form = "".join(f"(?P<{p}>{MARKS[p]})" if odd % 2 else re.escape(p) for odd, p in enumerate(parts))
    found = map(re.compile(form).fullmatch, keys)
    return [match.groupdict() for match in found if match]


def fill(template: str, marks: Mapping[str, str]) -> str:
    """The key in which the marks stand for these."""
    return template.format_map(marks)
