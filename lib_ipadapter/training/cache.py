"""Latents, features and texts, each encoded once and kept by the content it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from PIL import Image
from safetensors import SafetensorError
from torch import Tensor

from lib_ipadapter.errors import IPAdapterError, TrainingError
from lib_ipadapter.model import checkpoint
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.training.check import Example, Report
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import Frozen, Item, read_picture

NOTHING = "nothing"
"""Key of what stands for no picture; the empty text stands for no text."""

Split = Callable[[Sequence[Any]], Sequence[Any]]
"""This process's share of some work."""


class Store:
    """Items by key: in memory up to a limit, and in a folder if there is one."""

    def __init__(self, folder: Path | None, limit: float) -> None:
        self.folder = folder
        self.limit = limit
        self.nbytes = 0
        self._items: dict[str, Item] = {}

    def __contains__(self, key: str) -> bool:
        return key in self._items or (self.folder is not None and _is_whole(self._path(key)))

    def get(self, key: str) -> Item:
        """The item; raises `KeyError` where there is none."""
        if key in self._items:
            return self._items[key]
        if key not in self:
            raise KeyError(key)
        item = safetensors.torch.load_file(self._path(key))
        self._remember(key, item)
        return item

    def put(self, key: str, item: Item) -> None:
        """Keeps `item`; without a folder in memory, where `Filler` has seen that there is room."""
        item = {name: tensor.contiguous() for name, tensor in item.items()}
        if self.folder is not None:
            checkpoint.write(self._path(key), item)
        self._remember(key, item)

    def _remember(self, key: str, item: Item) -> None:
        size = size_of(item)
        if self.folder is None or self.nbytes + size <= self.limit:
            self._items[key] = item
            self.nbytes += size

    def _path(self, key: str) -> Path:
        assert self.folder is not None
        return self.folder / key[:2] / f"{key}.safetensors"


@dataclass(frozen=True)
class Cache:
    """The three shelves of a run."""

    latents: Store
    features: Store
    texts: Store

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
            Store(folder / f"texts-{model_hash(*frozen.text_encoders)}-{words(frozen)}-{frozen.dtype}", limit),
        )

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
            for keys in self.progress(batches(wanted, self.config.batch_size), label):
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


def size_of(item: Item) -> int:
    """Bytes of memory."""
    return sum(tensor.nbytes for tensor in item.values())


def stacked(items: Sequence[Item], device: torch.device) -> Item:
    """Rows to a batch on the device."""
    return {name: torch.stack([item[name] for item in items]).to(device, non_blocking=True) for name in items[0]}


def batches(items: Sequence[Any], size: int) -> list[Sequence[Any]]:
    """Parts of at most `size`."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def text_key(text: str) -> str:
    """Name of a caption in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()


def model_hash(*modules: Any) -> str:
    """Of all weights and of how they are run, short: what they encode is theirs alone."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(json.dumps(_settings(module), sort_keys=True, default=str).encode())
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()[:12]


def _settings(module: Any) -> dict[str, Any]:
    """Its configuration, diffusers' or transformers', without where it was read from and by which version."""
    config = module.config if isinstance(module.config, Mapping) else module.config.to_dict()
    return {name: value for name, value in config.items() if not name.startswith("_") and "version" not in name}


def words(frozen: Frozen) -> str:
    """Of the tokenizers' vocabularies, short: another one gives the same text encoder other numbers."""
    tokenizers = [getattr(frozen.pipeline, name, None) for name in ("tokenizer", "tokenizer_2")]
    known = [sorted(tokenizer.get_vocab().items()) for tokenizer in tokenizers if tokenizer is not None]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]


def _is_whole(path: Path) -> bool:
    """A file that lost its end, or all of it, in a crash is none: its header says how long it is."""
    try:
        with safetensors.safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())  # pyright: ignore


def _try(path: Path) -> Any:
    try:
        return read_picture(path)
    except IPAdapterError:
        return None
