"""Everything is encoded once, before the first step."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image

from lib_ipadapter.errors import IPAdapterError, TrainingError
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.training.cache import NOTHING, Cache, batches, text_key
from lib_ipadapter.training.check import Example, Report
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import Frozen, Item, read_picture
from lib_ipadapter.training.output import existing
from lib_ipadapter.training.store import Store, size_of

AT_ONCE = 2
"""Pictures: in float32 more of them would take more memory than any step does."""
AHEAD = 8
"""Pictures that are read while others are encoded."""

T = TypeVar("T")


@dataclass(frozen=True)
class Filler:
    """Encodes what a cache lacks."""

    cache: Cache
    frozen: Frozen
    config: TrainConfig
    rank: int
    """Of this process among so many `processes`, each of which has a share."""
    processes: int
    progress: Callable[[Sequence[Any], str], Iterable[Any]]
    """Wraps batches and shows how far they are."""

    def fill(self, report: Report, feature: Feature) -> list[Example]:
        """Returns the examples whose pictures turn out to be unreadable. Raises `TrainingError` for want of room."""
        frozen, cache, examples = self.frozen, self.cache, report.examples
        images = self._lacking(cache.latents, {e.image_hash: e.entry.image for e in examples})
        references = self._lacking(cache.features, {e.reference_hash: e.entry.reference for e in examples})
        every = ["", self.config.sample_prompt or "", *(e.entry.text for e in examples)]
        texts = self._lacking(cache.texts, {text_key(text): text for text in every})
        self._check_room(feature, len(images), len(references), len(texts))
        with frozen.visiting(frozen.vae):
            encode = partial(frozen.encode_latents, size=self.config.resolution)
            unread = self._pictures("latents", cache.latents, images, encode)
        with frozen.visiting(frozen.encoder.model):
            encode = partial(frozen.encode_features, feature=feature)
            unread |= self._pictures("features", cache.features, references, encode)
            cache.features.put(NOTHING, frozen.nothing(feature))
        with frozen.visiting(*frozen.text_encoders):
            self._texts(texts)
        return [example for example in examples if {example.image_hash, example.reference_hash} & unread]

    def _lacking(self, store: Store, wanted: Mapping[str, T]) -> dict[str, T]:
        """Of this process's share. Shares are cut first: others are filling the same store."""
        return {key: wanted[key] for key in list(wanted)[self.rank :: self.processes] if key not in store}

    def _check_room(self, feature: Feature, images: int, references: int, texts: int) -> None:
        """Before hours of encoding. All items of a store are as large as one of nothing."""
        if not images + references + texts:
            return
        sizes = map(size_of, self.frozen.blank(self.config.resolution, feature))
        needed = sum(size * count for size, count in zip(sizes, (images, references + 1, texts), strict=True))
        if folder := self.cache.latents.folder:
            free = shutil.disk_usage(existing(folder)).free
            if needed * self.processes > free:
                raise TrainingError(
                    f"Latents, features and texts take another {_gib(needed * self.processes)} GiB in {folder.parent},"
                    f" and {_gib(free)} are free there; make room, or give --cache a folder on another disk."
                )
        elif needed > self.config.cache_memory * 2**30:
            raise TrainingError(
                f"Latents, features and texts take {_gib(needed)} GiB, and --cache-memory allows"
                f" {self.config.cache_memory:g}; give --cache a folder, which keeps the rest, or allow more."
            )

    def _pictures(
        self, label: str, store: Store, paths: Mapping[str, Path], encode: Callable[[Sequence[Any]], list[Item]]
    ) -> set[str]:
        """Returns the keys that could not be read."""
        unread: set[str] = set()
        with ThreadPoolExecutor() as pool:
            images = _read_ahead(pool, paths.values())
            for keys in self.progress(batches(list(paths), AT_ONCE), label):
                read = [(key, next(images)) for key in keys]
                unread |= {key for key, image in read if image is None}
                good = {key: image for key, image in read if image is not None}
                for key, item in zip(good, encode(list(good.values())) if good else [], strict=True):
                    store.put(key, item)
        return unread

    def _texts(self, texts: Mapping[str, str]) -> None:
        for keys in self.progress(batches(list(texts), self.config.batch_size), "texts"):
            for key, item in zip(keys, self.frozen.encode_texts([texts[key] for key in keys]), strict=True):
                self.cache.texts.put(key, item)


def _read_ahead(pool: ThreadPoolExecutor, paths: Iterable[Path]) -> Iterator[Image.Image | None]:
    """In their order."""
    waiting: deque[Future[Any]] = deque()
    for path in paths:
        waiting.append(pool.submit(_try, path))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _gib(size: float) -> str:
    return f"{size / 2**30:.3g}"


def _try(path: Path) -> Any:
    try:
        return read_picture(path)
    except IPAdapterError:
        return None
