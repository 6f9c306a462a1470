"""What was drawn already: an evaluation goes on where it was stopped, and a change of the judge draws nothing anew."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from PIL import Image

from lib_ipadapter.model.weights_file import sha256
from lib_ipadapter.model.writing import whole


class Memory:
    """A folder of pictures, each named by the key of its question. Whoever wants the space deletes it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def key(self, question: object, files: Iterable[Path]) -> str:
        """Of a question, by how it is written and by what is in the files that its answer depends on."""
        return hashlib.sha256(" ".join([repr(question), *map(_content, files)]).encode()).hexdigest()[:24]

    def known(self, key: str) -> bool:
        """Whether it was drawn."""
        return self._path(key).is_file()

    def keep(self, key: str, picture: Image.Image) -> None:
        """To the last bit, whoever else keeps the same. Raises `CheckpointError` where it cannot be written."""
        with whole(self._path(key)) as part:
            picture.save(part, "PNG")

    def picture(self, key: str) -> Image.Image:
        """As it was kept."""
        with Image.open(self._path(key)) as found:
            return found.copy()

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.png"


@cache
def _content(path: Path) -> str:
    return sha256(path)
