"""A file that is still arriving, and who looks on."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from lib_ipadapter.errors import DownloadError
from lib_ipadapter.session.file_order import Order


@dataclass(frozen=True)
class Progress:
    """How far one file is."""

    name: str
    done: int
    """Bytes that are here, those of an earlier attempt included."""
    total: int | None
    """Bytes of the file, where the server says it."""


@dataclass(frozen=True)
class Watch:
    """Who looks on, and may end it: the client hands over its data in pieces of 10 MB, and looks up at each."""

    progress: Callable[[Progress], None] = lambda _: None
    cancel: Event = field(default_factory=Event)

    def stop_if_cancelled(self, order: Order) -> None:
        """Raises `DownloadError` where it was ended."""
        if self.cancel.is_set():
            raise DownloadError(
                f"{order.target.name}: cancelled; what has arrived is kept, and getting it again goes on from there."
            )


class ArrivingFile(io.FileIO):
    """A file that is not whole yet, as the client writes it. Unbuffered: what is written is there, or an error."""

    def __init__(self, order: Order, path: Path, total: int | None, watch: Watch) -> None:
        super().__init__(path, "ab")
        self._order, self._total, self._watch = order, total, watch

    def write(self, data: Any) -> int:
        self._watch.stop_if_cancelled(self._order)
        left = memoryview(data)
        try:
            while left:
                left = left[super().write(left) :]
        except OSError as error:
            raise self._order.cannot_write(error) from error
        self._watch.progress(Progress(self._order.target.name, self.tell(), self._total))
        return len(data)
