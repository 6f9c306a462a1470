"""What the encoder made of pictures, kept on disk from one start to the next. No picture is ever in it."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lib_ipadapter.errors import HostError
from lib_ipadapter.model.feature_file import pack, unpack
from lib_ipadapter.model.vision import ImageFeatures
from lib_ipadapter.model.writing import whole

LOG = logging.getLogger("IP-Adapter")

SUFFIX = ".features"
"""Of our files: whatever else is in the folder is never touched."""


@dataclass(frozen=True)
class DiskCache:
    """Files named by a hash, up to `limit` bytes; of more, those that were used longest ago are removed.

    Whatever goes wrong here costs time and never a picture: a file that is damaged, or not to be written, is as none.
    """

    folder: Path
    limit: int

    def get(self, key: str) -> ImageFeatures | None:
        """What was put under `key`, if it is there and whole; marks it as used."""
        path = self._path(key)
        try:
            features = unpack(path.read_bytes())
        except OSError:
            return None
        with suppress(OSError):  # a folder that others fill may be read only
            os.utime(path)
        if features is None:
            _remove(path)
        return features

    def put(self, key: str, features: ImageFeatures) -> None:
        """Keeps `features`: the file is there whole or not at all, whoever else writes or is killed meanwhile."""
        data = pack(features)
        if len(data) > self.limit:
            return
        try:
            with whole(self._path(key), HostError) as part:
                part.write_bytes(data)
        except HostError as error:
            LOG.warning("IP-Adapter: encoded pictures cannot be kept: %s", error)
        self._shrink()

    def clear(self) -> int:
        """Removes everything; gives the number of bytes."""
        return sum(_remove(path) for path in self._files())

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return sum(_about(path)[1] for path in self._files())

    def _path(self, key: str) -> Path:
        return self.folder / (hashlib.sha256(key.encode()).hexdigest() + SUFFIX)

    def _files(self) -> Iterator[Path]:
        """Also what a process that was killed had half written."""
        try:
            yield from (path for path in self.folder.iterdir() if SUFFIX in path.suffixes)
        except OSError:
            return

    def _shrink(self) -> None:
        oldest = sorted((_about(path), path) for path in self._files())
        excess = sum(size for (_, size), _ in oldest) - self.limit
        for (_, size), path in oldest:
            if excess <= 0:
                return
            _remove(path)
            excess -= size


def _about(path: Path) -> tuple[float, int]:
    """When it was last used, and its size; nothing of a file that another process has removed."""
    try:
        about = path.stat()
    except OSError:
        return 0.0, 0
    return about.st_mtime, about.st_size


def _remove(path: Path) -> int:
    size = _about(path)[1]
    try:
        path.unlink()
    except OSError:
        return 0
    return size
