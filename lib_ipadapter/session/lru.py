"""A cache bounded in bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """Something that knows the memory it takes."""

    @property
    def nbytes(self) -> int:
        """Bytes."""
        ...


T = TypeVar("T", bound=Sized)


class LRU(Generic[T]):
    """Keeps what was used last, up to `limit` bytes; the newest stays even when it alone is larger.

    A limit of 0 keeps one item, and drops it before the next is made: two would not fit into memory.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._items: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The item under `key`, made now if it is not there."""
        item = self._items.pop(key, None)
        if item is None:
            if self.limit == 0:
                self.clear()
            item = make()
        self._items[key] = item
        while len(self._items) > 1 and self.nbytes > self.limit:
            self._items.popitem(last=False)
        return item

    def drop(self, key: Hashable) -> None:
        """Forgets one item, if it is there."""
        self._items.pop(key, None)

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return sum(item.nbytes for item in list(self._items.values()))

    def __len__(self) -> int:
        return len(self._items)

    def clear(self) -> None:
        """Forgets everything."""
        self._items.clear()
