"""One shelf of what is encoded: in memory up to a limit, and in a folder if there is one."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import safetensors
import safetensors.torch
from safetensors import SafetensorError

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model import weights_file
from lib_ipadapter.training.frozen import Item


class Store:
    """Items by key: in memory up to a limit, and in a folder if there is one."""

    def __init__(self, folder: Path | None, limit: float) -> None:
        self.folder = folder
        self.limit = limit
        self.nbytes = 0
        self._items: dict[str, Item] = {}
        self._counting = Lock()

    def __contains__(self, key: str) -> bool:
        return key in self._items or (self.folder is not None and _is_whole(self._path(key)))

    def get(self, key: str) -> Item:
        """The item. Several threads may ask. Raises `TrainingError` where its file is gone or cannot be read."""
        if (item := self._items.get(key)) is None:
            item = _read(self._path(key))
            self._remember(key, item)
        return item

    def put(self, key: str, item: Item) -> None:
        """Keeps `item`; without a folder in memory, where `Filler` has seen that there is room."""
        item = {name: tensor.contiguous() for name, tensor in item.items()}
        if self.folder is not None:
            weights_file.write(self._path(key), item)
        self._remember(key, item)

    def _remember(self, key: str, item: Item) -> None:
        size = size_of(item)
        with self._counting:
            if key not in self._items and (self.folder is None or self.nbytes + size <= self.limit):
                self._items[key] = item
                self.nbytes += size

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.safetensors"


def size_of(item: Item) -> int:
    """Bytes of memory."""
    return sum(tensor.nbytes for tensor in item.values())


def _read(path: Path) -> Item:
    """A copy: a process may hold only some 65 000 files mapped, and a cache has millions."""
    try:
        return safetensors.torch.load(path.read_bytes())
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path} was encoded for this run and cannot be read now ({reason(error)}); each process must find the"
            " cache in the same place. --resume goes on from the last save, and encodes what is missing."
        ) from error


def _is_whole(path: Path) -> bool:
    """A file that lost its end, or all of it, in a crash is none: its header says how long it is."""
    try:
        with safetensors.safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False
