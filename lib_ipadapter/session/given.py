"""What a unit's field holds where it takes a saved file's name or the numbers themselves."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

LONGEST_FILE_NAME = 255
"""Characters. Whatever is longer is base64: that of one face has 2732."""


@dataclass(frozen=True)
class Given:
    """One of the two."""

    name: str = ""
    """Of a saved file, never a path."""
    data: bytes = field(default=b"", repr=False)

    @property
    def label(self) -> str:
        """A name, or the beginning of a hash: what may be published."""
        return self.name or self.digest[:12]

    @cached_property
    def digest(self) -> str:
        """Hash of the data, in hex: for what is kept longer than a face or a picture's tokens should be."""
        return hashlib.sha256(self.data).hexdigest()


def plain_name(text: str) -> str:
    """A name without stray spaces; empty where there is none, for which the WebUI has a word."""
    name = " ".join(text.split())
    return "" if name == "None" else name
