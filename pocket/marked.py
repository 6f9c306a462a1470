"""The part of a page that a command writes: between two marks, which stay."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Marked:
    """Two lines of a page."""

    begin: str
    end: str = "<!-- until here -->"

    def filled(self, page: str, text: str) -> str:
        """`page` with `text` for what was between the marks."""
        return re.sub(f"(?<={self.begin}\n).*?(?=\n{self.end})", lambda _: text, page, count=1, flags=re.DOTALL)
