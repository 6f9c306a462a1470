"""Whether a file is still the one that was looked at: within this process, and from one start to the next."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import CheckpointError, causes, from_too_little_memory

SAMPLES, SAMPLE = 64, 64 << 10
"""How many places of a large file are read to know it again, and how many bytes at each: 4 MB of gigabytes."""


def stamp(path: Path) -> Hashable:
    """Identity of a file by whatever name: the file itself, its size and times of change; of a folder, its files'."""
    try:
        return tuple(_identity(file) for file in _files(path))
    except OSError:
        raise CheckpointError(f"There is no file {path}.") from None


def fingerprint(path: Path) -> str:
    """Identity of a file's or folder's content that outlives this process, wherever it lies: a hash in hex.

    Of large files only samples are read, beside size and time of change: hashing an encoder takes longer than using it.
    """
    found = hashlib.sha256()
    for file in _files(path):
        about = file.stat()
        found.update(f"{about.st_size} {about.st_mtime_ns}\n".encode())
        with file.open("rb") as content:
            for place in range(SAMPLES):
                content.seek(max(0, about.st_size - SAMPLE) * place // (SAMPLES - 1))
                found.update(content.read(SAMPLE))
                if about.st_size <= SAMPLE:
                    break
    return found.hexdigest()


class FileFacts:
    """What was found out about files by looking at them, for as long as they stay as they are."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Path], tuple[Hashable, Any]] = {}

    def get(self, what: str, path: Path, look: Callable[[], Any]) -> Any:
        """`look()`, remembered while the file stays as it is, also where it raises `CheckpointError` of what is in it.

        `what` the file is looked at as: adapters and encoders may lie in one folder.
        """
        now = stamp(path)
        known, found = self._known.get((what, path), (None, None))
        if known != now:
            try:
                found = look()
            except CheckpointError as error:
                if _passes(error):
                    raise
                # Only its words: an error that was raised keeps every frame alive through which it came.
                found = type(error)(*error.args)
            self._known[what, path] = (now, found)
        if isinstance(found, CheckpointError):
            raise type(found)(*found.args)
        return found

    def knows(self, what: str, path: Path) -> bool:
        """Whether `get` would not have to look."""
        known, _ = self._known.get((what, path), (None, None))
        return known is not None and known == stamp(path)

    def clear(self) -> None:
        """Forgets everything."""
        self._known.clear()


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _passes(error: CheckpointError) -> bool:
    """Whether not the file's content is why, but what may be mended while it stays: rights, a drive, memory."""
    return any(isinstance(one, OSError) or from_too_little_memory(one) for one in causes(error))


def _identity(file: Path) -> tuple[object, ...]:
    about = file.stat()
    # Some network drives number no files.
    which = (about.st_dev, about.st_ino) if about.st_ino else os.path.realpath(file)
    # The last is no copying tool's to keep: another content may have size and time of the one before.
    return (which, about.st_size, about.st_mtime_ns, about.st_ctime_ns)
