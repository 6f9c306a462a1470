"""The one cache: adapters, encoders and what they computed, by content, bounded in bytes."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError, UnitError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.model import vision
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.encoder_files import is_encoder_folder
from lib_ipadapter.model.identity import identify
from lib_ipadapter.model.variant import Feature, Variant
from lib_ipadapter.model.vision import EncoderSizes, ImageEncoder, ImageFeatures
from lib_ipadapter.patch.layers import CrossAttention, why_not
from lib_ipadapter.session.files import list_encoders, looked_at, named
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.unit import Unit

LOG = logging.getLogger("IP-Adapter")


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


@dataclass(frozen=True)
class KeyValues:
    """K and V of one picture for every layer of one adapter, in checkpoint order."""

    layers: tuple[KeyValue, ...]

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(kv.nbytes for kv in self.layers)


class Library:
    """Reads files once and encodes pictures once. Everything in it rests on the CPU."""

    def __init__(self) -> None:
        self.adapters: LRU[IPAdapter] = LRU(1 << 30)
        self.encoders: LRU[ImageEncoder] = LRU(0)
        """One at a time: the large ones take gigabytes."""
        self.features: LRU[ImageFeatures] = LRU(64 << 20)
        self.computed: LRU[KeyValues] = LRU(128 << 20)
        self._headers: dict[tuple[str, Path], tuple[Hashable, Any]] = {}

    def adapter(self, path: Path) -> IPAdapter:
        """The adapter in a file; read again when the file has changed."""
        return self.adapters.get(_stamp(path), lambda: IPAdapter.read(path))

    def variant(self, path: Path) -> Variant:
        """What an adapter file is, from its header."""
        return self._header("adapter", path, lambda: identify(path))

    def sizes(self, path: Path) -> EncoderSizes:
        """Those of the encoder at `path`, without loading it."""
        return self._header("encoder", path, lambda: vision.read_sizes(path))

    def why_not(self, path: Path, layers: Sequence[CrossAttention] = ()) -> str:
        """Why the file at `path` is no adapter for these layers, in a few words; empty when it is one."""
        try:
            variant = self.variant(path)
        except CheckpointError as error:
            return in_short(error, path)
        return why_not(variant, layers) if layers else ""

    def key_values(self, unit: Unit, path: Path, host: Host) -> KeyValues:
        """K and V of every layer for a unit's picture and the adapter at `path`, on the CPU in float32.

        Computed on the host's device, once: batches, passes and later jobs with the same picture find them here.
        """
        variant = self.variant(path)
        if variant.face:
            raise UnitError(
                f"{path.name} is a {variant}, and face embeddings cannot be given yet;"
                " choose a base, plus or full adapter."
            )
        encoder = self.find_encoder(variant, host.encoder_folders(), unit.encoder)

        def compute() -> KeyValues:
            with torch.no_grad(), host.full_precision():
                cond, nothing = (part.to(host.device) for part in self.encode(unit, variant, encoder, host))
                adapter = self.adapter(path)
                layers = tuple(kv.cpu() for kv in adapter.key_values(adapter.image_prompt(cond, nothing).stacked()))
            if not all(kv.finite for kv in layers):
                self.adapters.drop(_stamp(path))
                raise CheckpointError(
                    f"{path.name} gives values that are not numbers: it is damaged; download it again."
                )
            return KeyValues(layers)

        key = (unit.image_hash, _stamp(path), _stamp(encoder), str(host.device), host.dtype)
        return self.computed.get(key, compute)

    def encode(self, unit: Unit, variant: Variant, path: Path, host: Host) -> tuple[Tensor, Tensor]:
        """A picture's features as the adapter wants them, and those of no picture, as in training.

        `path`: the encoder. No picture is a zero embedding for a base adapter, and for plus and full adapters the
        hidden states of a zero pixel tensor (tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter.py:149 and 310).
        """
        assert unit.image is not None
        assert variant.feature is not None
        image, feature = unit.image, variant.feature

        def features(what: str, make: Encode) -> Tensor:
            key = (what, _stamp(path), str(host.device), host.dtype)
            return self.features.get(key, lambda: self._encoded(path, make, host)).get(feature)

        cond = features(unit.image_hash, lambda encoder, *where: encoder.encode(image, *where))
        if feature is Feature.IMAGE_EMBEDS:
            return cond, torch.zeros_like(cond)
        return cond, features("nothing", ImageEncoder.encode_zeros)

    def find_encoder(self, variant: Variant, folders: Sequence[Path], name: str | None = None) -> Path:
        """The encoder called `name`, or the first in `folders` that gives features of the width the adapter needs.

        Raises `UnitError` that says which is needed, what is there, why not each of them, and where was searched.
        """
        files = list_encoders(folders, is_encoder_folder)
        chosen = [file for file in (named(name, files) if name else None,) if file]
        rejected: dict[str, str] = {}
        for file in chosen or files:
            rejected[file.name] = self._why_not_encoder(file.path, variant)
            if not rejected[file.name] and (chosen or not name):
                return file.path
        needed = f"it needs {variant.encoder}, {variant.feature_label}"
        if chosen:
            raise UnitError(
                f"The image encoder {name!r} cannot serve this adapter, {needed}: {rejected[chosen[0].name]};"
                " leave the field encoder empty, and one that fits is taken."
            )
        asked = f"There is no image encoder called {name!r}" if name else "No image encoder for this adapter"
        seen = looked_at(name or needed, {file: why or "it fits" for file, why in rejected.items()})
        raise UnitError(
            f"{asked}: {needed}; searched {', '.join(map(str, folders))}{seen};"
            f" put its folder or file into {' or '.join(map(str, folders[:2]))}."
        )

    def unload(self) -> int:
        """Frees all memory that the cache holds; gives the number of bytes."""
        caches = (self.adapters, self.encoders, self.features, self.computed)
        freed = sum(cache.nbytes for cache in caches)
        for cache in caches:
            cache.clear()
        self._headers.clear()
        return freed

    def _why_not_encoder(self, path: Path, variant: Variant) -> str:
        try:
            return self.sizes(path).why_not(variant)
        except CheckpointError as error:
            return in_short(error, path)

    def _encoded(self, path: Path, make: Encode, host: Host) -> ImageFeatures:
        """By the encoder at `path`; nothing of one that is damaged is kept."""
        encoder = self.encoders.get(_stamp(path), lambda: ImageEncoder.read(path))
        features = _on_device_or_cpu(encoder, make, host)
        if not features.finite:
            self.encoders.drop(_stamp(path))
            raise CheckpointError(
                f"The image encoder {path.name} gives values that are not numbers: it is damaged, or overflows in half"
                " precision; download it again or compute in full precision."
            )
        return features

    def _header(self, what: str, path: Path, look: Callable[[], Any]) -> Any:
        """`look()`, remembered while the file stays as it is, also where it raises `CheckpointError`.

        `what` the file is looked at as: adapters and encoders may lie in one folder.
        """
        stamp = _stamp(path)
        known, found = self._headers.get((what, path), (None, None))
        if known != stamp:
            try:
                found = look()
            except CheckpointError as error:
                # Only its words: an error that was raised keeps every frame alive through which it came.
                found = type(error)(*error.args)
            self._headers[what, path] = (stamp, found)
        if isinstance(found, CheckpointError):
            raise type(found)(*found.args)
        return found


Encode = Callable[[ImageEncoder, torch.device, torch.dtype], ImageFeatures]


def _on_device_or_cpu(encoder: ImageEncoder, make: Encode, host: Host) -> ImageFeatures:
    """On the host's device; where a large encoder finds no room beside the checkpoint, slowly on the CPU."""
    try:
        return make(encoder, host.device, host.dtype)
    except torch.cuda.OutOfMemoryError:
        LOG.warning("IP-Adapter: no room for the image encoder on %s; it runs on the CPU this time.", host.device)
        return make(encoder, torch.device("cpu"), torch.float32)


def in_short(error: CheckpointError, path: Path) -> str:
    """What is wrong with the file at `path`, for a list that has its name already: no name, no advice."""
    reason = str(error).split("; ", maxsplit=1)[0].rstrip(".")
    for beginning in (f"The image encoder {path.name} ", f"{path.name} ", "This file "):
        reason = reason.removeprefix(beginning)
    return reason


def _stamp(path: Path) -> Hashable:
    """Identity of a file by whatever name: the file itself, its size and time of change; of a folder, its files'."""
    try:
        files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
        return tuple(_identity(file) for file in files)
    except OSError:
        raise CheckpointError(f"There is no file {path}.") from None


def _identity(file: Path) -> tuple[object, ...]:
    about = file.stat()
    # Some network drives number no files.
    which = (about.st_dev, about.st_ino) if about.st_ino else os.path.realpath(file)
    return (which, about.st_size, about.st_mtime_ns)


LIBRARY = Library()
"""The one piece of module state in this package."""
