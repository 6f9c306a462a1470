"""The one cache: adapters, encoders and what they computed, by content, bounded in bytes."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lib_ipadapter.errors import AmbiguousError, CheckpointError, UnitError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.model import vision
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.encoder_files import is_encoder_folder
from lib_ipadapter.model.identity import Look, identify
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.model.variant import Feature, Kind, Variant
from lib_ipadapter.model.vision import EncoderSizes, ImageEncoder, ImageFeatures
from lib_ipadapter.patch.layers import CrossAttention, why_not
from lib_ipadapter.session.files import list_encoders, looked_at, named
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.lru import LRU
from lib_ipadapter.session.recognition import Recognition
from lib_ipadapter.session.unit import NO_PICTURE, Unit

LOG = logging.getLogger("IP-Adapter")


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
        self.faces = Recognition(LRU(8 << 20))
        self._headers: dict[tuple[str, Path], tuple[Hashable, Any]] = {}

    def adapter(self, path: Path, choice: Kind | None = None) -> IPAdapter:
        """The adapter in a file; read again when the file has changed. `choice`: what the user says that it is."""
        return self.adapters.get((_stamp(path), choice), lambda: IPAdapter.read(path, choice))

    def variant(self, path: Path, choice: Kind | None = None, look: Look = Look.CONTENT) -> Variant:
        """What an adapter file is. Raises `CheckpointError`, and `AmbiguousError` without `choice`.

        `look`: a list reads no file beyond its header, unless what its content says is known already.
        """
        if look is Look.HEADER and self._is_known(_as_adapter(choice, Look.CONTENT), path):
            look = Look.CONTENT
        try:
            return self._header(_as_adapter(choice, look), path, lambda: identify(path, choice, look))
        except AmbiguousError as error:
            sentence = f"{str(error).rstrip('.')}; or set the field kind to {' or '.join(error.choices)}."
            raise AmbiguousError(sentence, error.choices) from None

    def sizes(self, path: Path) -> EncoderSizes:
        """Those of the encoder at `path`, without loading it."""
        return self._header("encoder", path, lambda: vision.read_sizes(path))

    def why_not(self, path: Path, layers: Sequence[CrossAttention] = ()) -> str:
        """Why the file at `path` is no adapter for these layers, in a few words; empty when it is one."""
        try:
            variant = self.variant(path, look=Look.HEADER)
        except CheckpointError as error:
            return in_short(error, path)
        return why_not(variant, layers) if layers else ""

    def key_values(self, unit: Unit, path: Path, host: Host) -> KeyValues:
        """K and V of every layer for a unit's picture and the adapter at `path`, on the CPU in float32.

        Computed on the host's device, once: batches, passes and later jobs with the same picture find them here.
        """
        variant = self.variant(path, unit.choice)
        folders = host.encoder_folders()
        encoder = self.find_encoder(variant, folders, unit.encoder) if variant.feature else None

        def compute() -> KeyValues:
            with torch.no_grad(), host.full_precision():
                inputs = self.inputs(unit, variant, encoder, host)
                known, nothing = (tuple(part.to(host.device) for part in parts) for parts in inputs)
                adapter = self.adapter(path, unit.choice)
                embeds = adapter.image_prompt(known, nothing, unit.shortcut_scale)
                layers = tuple(kv.cpu() for kv in adapter.key_values(embeds.stacked()))
            if not all(kv.finite for kv in layers):
                self.adapters.drop((_stamp(path), unit.choice))
                raise CheckpointError(
                    f"{path.name} gives values that are not numbers: it is damaged; download it again."
                )
            return KeyValues(layers)

        shown = (self.faces.identity(unit, host), unit.shortcut_scale) if variant.face else unit.image_hash
        files = (_stamp(path), unit.choice, encoder and _stamp(encoder))
        return self.computed.get((shown, *files, str(host.device), host.dtype), compute)

    def inputs(
        self, unit: Unit, variant: Variant, encoder: Path | None, host: Host
    ) -> tuple[list[Tensor], list[Tensor]]:
        """What the projection is fed with for a unit, and for no picture: a face, the encoder's features, or both.

        Nobody's face is a zero embedding (tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter_faceid.py:187).
        """
        faces = [self.faces.embeds(unit, variant.face, host)] if variant.face else []
        known, nothing = [*faces], [torch.zeros_like(rows) for rows in faces]
        if encoder is not None:
            rows = len(faces[0]) if faces else 1
            for parts, seen in zip((known, nothing), self.encode(unit, variant, encoder, host), strict=True):
                parts.append(seen.expand(rows, *seen.shape[1:]))
        return known, nothing

    def encode(self, unit: Unit, variant: Variant, path: Path, host: Host) -> tuple[Tensor, Tensor]:
        """A picture's features as the adapter wants them, and those of no picture, as in training.

        `path`: the encoder. No picture is a zero embedding for a base adapter, and for plus and full adapters the
        hidden states of a zero pixel tensor (tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter.py:149 and 310).
        """
        image = self.faces.crop(unit, host) if variant.face else unit.image
        if image is None:
            raise UnitError(NO_PICTURE)
        assert variant.feature is not None
        feature = variant.feature
        shown = content_hash(image) if variant.face else unit.image_hash

        def features(what: str, make: Encode) -> Tensor:
            key = (what, _stamp(path), str(host.device), host.dtype)
            return self.features.get(key, lambda: self._encoded(path, make, host)).get(feature)

        cond = features(shown, lambda encoder, *where: encoder.encode(image, *where))
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
        self.faces.unload()
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
        if self._is_known(what, path):
            _, found = self._headers[what, path]
        else:
            stamp = _stamp(path)
            try:
                found = look()
            except CheckpointError as error:
                # Only its words: an error that was raised keeps every frame alive through which it came.
                found = type(error)(*error.args)
            self._headers[what, path] = (stamp, found)
        if isinstance(found, CheckpointError):
            raise type(found)(*found.args)
        return found

    def _is_known(self, what: str, path: Path) -> bool:
        known, _ = self._headers.get((what, path), (None, None))
        return known is not None and known == _stamp(path)


Encode = Callable[[ImageEncoder, torch.device, torch.dtype], ImageFeatures]


def _on_device_or_cpu(encoder: ImageEncoder, make: Encode, host: Host) -> ImageFeatures:
    """On the host's device; where a large encoder finds no room beside the checkpoint, slowly on the CPU."""
    try:
        return make(encoder, host.device, host.dtype)
    except torch.cuda.OutOfMemoryError:
        LOG.warning("IP-Adapter: no room for the image encoder on %s; it runs on the CPU this time.", host.device)
        return make(encoder, torch.device("cpu"), torch.float32)


def _as_adapter(choice: Kind | None, look: Look) -> str:
    """What a file is looked at as."""
    return f"adapter {choice} {look}"


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
