"""Everything is encoded once, before the first step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from lib_ipadapter.errors import IPAdapterError, TrainingError
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.training.cache import NOTHING, Cache, batches, text_key
from lib_ipadapter.training.check import Example, Report
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import Frozen, Item, read_picture
from lib_ipadapter.training.store import Store, size_of

AT_ONCE = 2
"""Pictures: in float32 more of them would take more memory than any step does."""

Split = Callable[[Sequence[Any]], Sequence[Any]]
"""This process's share of some work."""


@dataclass(frozen=True)
class Filler:
    """Encodes what a cache lacks."""

    cache: Cache
    frozen: Frozen
    config: TrainConfig
    split: Split
    """Gives this process its share."""
    progress: Callable[[Sequence[Any], str], Iterable[Any]]
    """Wraps batches and shows how far they are."""

    def fill(self, report: Report, feature: Feature) -> list[Example]:
        """Returns the examples whose pictures turn out to be unreadable. Raises `TrainingError` for want of memory."""
        frozen, examples = self.frozen, report.examples
        images = {e.image_hash: e.entry.image for e in examples}
        references = {e.reference_hash: e.entry.reference for e in examples}
        texts = list(dict.fromkeys(["", self.config.sample_prompt or "", *(e.entry.text for e in examples)]))
        if self.cache.latents.folder is None:
            self._check_room(feature, len(images), len(references) + 1, len(texts))
        with frozen.visiting(frozen.vae):
            encode = partial(frozen.encode_latents, size=self.config.resolution)
            unread = self._pictures("latents", self.cache.latents, images, encode)
        with frozen.visiting(frozen.encoder.model):
            encode = partial(frozen.encode_features, feature=feature)
            unread |= self._pictures("features", self.cache.features, references, encode)
            self.cache.features.put(NOTHING, frozen.nothing(feature))
        with frozen.visiting(*frozen.text_encoders):
            self._texts(texts)
        return [example for example in examples if {example.image_hash, example.reference_hash} & unread]

    def _check_room(self, feature: Feature, images: int, references: int, texts: int) -> None:
        """Before hours of encoding. All items of a store are as large as one of nothing."""
        side = self.config.resolution
        latent = self.frozen.encode_latents([Image.new("RGB", (side, side))], size=side)[0]
        features, text = self.frozen.nothing(feature), self.frozen.encode_texts([""])[0]
        needed = size_of(latent) * images + size_of(features) * references + size_of(text) * texts
        if needed > self.config.cache_memory * 2**30:
            raise TrainingError(
                f"Latents, features and texts take {needed / 2**30:.3g} GiB, and --cache-memory allows"
                f" {self.config.cache_memory:g}; give --cache a folder, which keeps the rest, or allow more."
            )

    def _pictures(
        self, label: str, store: Store, paths: Mapping[str, Path], encode: Callable[[Sequence[Any]], list[Item]]
    ) -> set[str]:
        """Returns the keys that could not be read. Shares are cut first: others are filling the same store."""
        wanted = [key for key in self.split(list(paths)) if key not in store]
        unread: set[str] = set()
        with ThreadPoolExecutor() as pool:
            for keys in self.progress(batches(wanted, AT_ONCE), label):
                read = list(zip(keys, pool.map(_try, [paths[key] for key in keys]), strict=True))
                unread |= {key for key, image in read if image is None}
                good = {key: image for key, image in read if image is not None}
                for key, item in zip(good, encode(list(good.values())) if good else [], strict=True):
                    store.put(key, item)
        return unread

    def _texts(self, texts: Sequence[str]) -> None:
        store = self.cache.texts
        missing = [text for text in self.split(texts) if text_key(text) not in store]
        for some in self.progress(batches(missing, self.config.batch_size), "texts"):
            for text, item in zip(some, self.frozen.encode_texts(some), strict=True):
                store.put(text_key(text), item)


def _try(path: Path) -> Any:
    try:
        return read_picture(path)
    except IPAdapterError:
        return None
