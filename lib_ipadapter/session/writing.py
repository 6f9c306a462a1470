"""Files that are there whole or not at all, whoever reads or writes them meanwhile."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4


def write_whole(path: Path, data: bytes) -> None:
    """In place of what was there; with the mode that a new file gets, and nothing left behind. Raises `OSError`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f"{uuid4().hex}.part"  # `tempfile` would let nobody else read it
    try:
        unfinished.write_bytes(data)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
