"""The one cache: adapters, encoders and what they computed, by content, bounded in bytes."""

from __future__ import annotations

import logging
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
from lib_ipadapter.model.checkpoint import read_shapes
from lib_ipadapter.model.encoder_files import is_encoder_folder
from lib_ipadapter.model.variant import Feature, Variant, detect
from lib_ipadapter.model.vision import ImageEncoder, ImageFeatures
from lib_ipadapter.session.files import list_encoders
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
        if key not in self._items:
            if self.limit == 0:
                self.clear()
            self._items[key] = make()
        self._items.move_to_end(key)
        while len(self._items) > 1 and self.nbytes > self.limit:
            self._items.popitem(last=False)
        return self._items[key]

    @property
    def nbytes(self) -> int:
        """Bytes kept."""
        return sum(item.nbytes for item in self._items.values())

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
        self._headers: dict[Hashable, Any] = {}

    def adapter(self, path: Path) -> IPAdapter:
        """The adapter in a file; read again when the file has changed."""
        return self.adapters.get(_stamp(path), lambda: IPAdapter.read(path))

    def variant(self, path: Path) -> Variant:
        """What an adapter file is, from its header."""
        return self._header("adapter", path, lambda: detect(read_shapes(path)))

    def key_values(self, unit: Unit, path: Path, host: Host) -> KeyValues:
        """K and V of every layer for a unit's picture and the adapter at `path`, on the CPU in float32.

        Computed on the host's device, once: batches, passes and later jobs with the same picture find them here.
        """
        variant = self.variant(path)
        encoder = self.find_encoder(variant, host.encoder_folders())

        def compute() -> KeyValues:
            with torch.no_grad(), host.full_precision():
                features = (part.to(host.device) for part in self.encode(unit, variant, encoder, host))
                adapter = self.adapter(path)
                layers = tuple(kv.cpu() for kv in adapter.key_values(adapter.image_prompt(*features).stacked()))
            if not all(kv.finite for kv in layers):
                raise CheckpointError(
                    f"{path.name} and the image encoder {encoder.name} give values that are not numbers: one of the two"
                    " is damaged, or overflows in half precision; download them again or compute in full precision."
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
        image = unit.image

        def features(what: str, make: Encode) -> Tensor:
            def encode() -> ImageFeatures:
                return _on_device_or_cpu(self.encoders.get(_stamp(path), lambda: ImageEncoder.read(path)), make, host)

            key = (what, _stamp(path), str(host.device), host.dtype)
            return self.features.get(key, encode).get(variant.feature)

        cond = features(unit.image_hash, lambda encoder, *where: encoder.encode(image, *where))
        if variant.feature is Feature.IMAGE_EMBEDS:
            return cond, torch.zeros_like(cond)
        return cond, features("nothing", ImageEncoder.encode_zeros)

    def find_encoder(self, variant: Variant, folders: Sequence[Path]) -> Path:
        """The first encoder in `folders` that gives features of the width the adapter needs. Raises `UnitError`."""
        rejected = []
        for file in list_encoders(folders, is_encoder_folder):
            try:
                sizes = self._header("encoder", file.path, lambda path=file.path: vision.read_sizes(path))
            except CheckpointError:
                continue
            if sizes.fits(variant):
                return file.path
            rejected.append(file.name)
        others = f" (found {', '.join(rejected)}, of other sizes)" if rejected else ""
        raise UnitError(
            f"No image encoder for this adapter: it needs {variant.encoder}, {variant.feature.value}"
            f" {variant.features} wide{others}; put its folder into {' or '.join(map(str, folders[:2]))}."
        )

    def unload(self) -> None:
        """Frees all memory that the cache holds."""
        for cache in (self.adapters, self.encoders, self.features, self.computed):
            cache.clear()
        self._headers.clear()

    def _header(self, what: str, path: Path, look: Callable[[], Any]) -> Any:
        """`look()`, remembered while the file stays as it is, also where it raises `CheckpointError`.

        `what` the file is looked at as: adapters and encoders may lie in one folder.
        """
        stamp = (what, _stamp(path))
        if stamp not in self._headers:
            try:
                self._headers[stamp] = look()
            except CheckpointError as error:
                # Only its words: an error that was raised keeps every frame alive through which it came.
                self._headers[stamp] = type(error)(str(error))
        if isinstance(found := self._headers[stamp], CheckpointError):
            raise type(found)(str(found))
        return found


Encode = Callable[[ImageEncoder, torch.device, torch.dtype], ImageFeatures]


def _on_device_or_cpu(encoder: ImageEncoder, make: Encode, host: Host) -> ImageFeatures:
    """On the host's device; where a large encoder finds no room beside the checkpoint, slowly on the CPU."""
    try:
        return make(encoder, host.device, host.dtype)
    except torch.cuda.OutOfMemoryError:
        LOG.warning("IP-Adapter: no room for the image encoder on %s; it runs on the CPU this time.", host.device)
        return make(encoder, torch.device("cpu"), torch.float32)


def _stamp(path: Path) -> Hashable:
    """Identity of a file: its path, size and time of change; for a folder those of its files."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        return (path, *((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files))
    except OSError:
        raise CheckpointError(f"There is no file {path}.") from None


LIBRARY = Library()
"""The one piece of module state in this package."""
