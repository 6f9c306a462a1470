"""Hashes of pictures, kept beside the cache: a million pictures are terabytes to read again at each start."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from lib_ipadapter.model.weights_file import sha256

HashOf = Callable[[Path], str]
Known = dict[str, list[Any]]
"""Path -> size in bytes, time of the last change in nanoseconds, hash."""


@contextmanager
def remembered(folder: Path | None) -> Iterator[HashOf]:
    """While entered, gives the SHA-256 of a file's bytes; of one that has not changed since then, from `folder`.

    Raises `OSError` where a picture cannot be read, or the folder not be written to. Several threads may ask.
    """
    if folder is None:
        yield sha256
        return
    folder.mkdir(parents=True, exist_ok=True)
    known, writing = _read(folder / "hashes.jsonl"), Lock()
    with (folder / "hashes.jsonl").open("a", encoding="utf-8") as file:

        def hash_of(path: Path) -> str:
            now = path.stat()
            stamp, own = [now.st_size, now.st_mtime_ns], known.get(str(path), [])
            if own[:2] == stamp:
                return own[2]
            found = sha256(path)
            with writing:  # at once: a run that is stopped while it looks has not looked in vain
                known[str(path)] = [*stamp, found]  # a picture has several captions
                file.write(json.dumps([str(path), *stamp, found]) + "\n")
            return found

        yield hash_of


def _read(path: Path) -> Known:
    """A line that was cut off is none."""
    known: Known = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            name, *stamp = json.loads(line)
        except ValueError:
            continue
        known[name] = stamp
    return known
