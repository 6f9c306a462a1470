"""Latents, features and texts, each encoded once and kept by the content it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Any

import torch

from lib_ipadapter.model.variant import Feature
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import Frozen, Item
from lib_ipadapter.training.hashes import model_hash, vocabulary_hash
from lib_ipadapter.training.store import Store

READERS = 8
"""Files that are waited for at once: a network's disk answers late, but many at a time."""
NOTHING = "nothing"
"""Key of what stands for no picture; the empty text stands for no text."""


@dataclass(frozen=True)
class Cache:
    """The three shelves of a run."""

    latents: Store
    features: Store
    texts: Store
    _: KW_ONLY
    readers: Executor | None = None
    """What reads files; None where all is in memory."""

    @classmethod
    def open(cls, frozen: Frozen, feature: Feature, config: TrainConfig, folder: Path | None) -> Cache:
        """What was encoded by the same models is found again; by others it is not mistaken for theirs."""
        limit = config.cache_memory * 2**30 / 3
        if folder is None:
            return cls(*(Store(None, limit) for _ in range(3)))
        kind = f"{feature.value}-{frozen.dtype}"
        return cls(
            Store(folder / f"latents-{model_hash(frozen.vae)}-{config.resolution}", limit),
            Store(folder / f"features-{model_hash(frozen.encoder.model)}-{kind}", limit),
            Store(
                folder / f"texts-{model_hash(*frozen.text_encoders)}-{vocabulary_hash(frozen)}-{frozen.dtype}", limit
            ),
            readers=ThreadPoolExecutor(READERS),
        )

    def rows(self, wanted: Iterable[tuple[Example, bool, bool]]) -> list[Item]:
        """Of each example, with its text and with its picture or without. Raises `TrainingError`."""

        def one(row: tuple[Example, bool, bool]) -> Item:
            return self.of(row[0], text=row[1], image=row[2])

        return list(self.readers.map(one, wanted) if self.readers else map(one, wanted))

    def of(self, example: Example, *, text: bool = True, image: bool = True) -> Item:
        """Everything that one row of a batch is made of, with the text or the picture dropped if so asked."""
        return {
            **self.latents.get(example.image_hash),
            **self.features.get(example.reference_hash if image else NOTHING),
            **self.texts.get(text_key(example.entry.text if text else "")),
        }

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(store.nbytes for store in (self.latents, self.features, self.texts))


def stacked(items: Sequence[Item], device: torch.device) -> Item:
    """Rows to a batch on the device."""
    return {name: torch.stack([item[name] for item in items]).to(device, non_blocking=True) for name in items[0]}


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Parts of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def text_key(text: str) -> str:
    """Name of a caption in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()
