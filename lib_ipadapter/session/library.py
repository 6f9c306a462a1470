"""The one cache: adapters, encoders and what they computed, by content, bounded in bytes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import AmbiguousError, CheckpointError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.model import encoder_sizes, weights_file
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.encoder_sizes import EncoderSizes
from lib_ipadapter.model.identity import Depth, identify
from lib_ipadapter.model.prompt_file import SavedPrompt, thumbnail_of
from lib_ipadapter.model.variant import Kind, Variant
from lib_ipadapter.model.vision import ImageEncoder, ImageFeatures
from lib_ipadapter.patch.layers import CrossAttention, why_not
from lib_ipadapter.session import encoders
from lib_ipadapter.session.devices import where_there_is_room
from lib_ipadapter.session.encoders import in_short
from lib_ipadapter.session.encoding import Encoding
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.lru import LRU
from lib_ipadapter.session.prompts import fitting, prompt_folders
from lib_ipadapter.session.recognition import Recognition
from lib_ipadapter.session.sight import Parts, Sight
from lib_ipadapter.session.stamps import FileFacts, stamp
from lib_ipadapter.session.tokens import image_tokens
from lib_ipadapter.session.unit import Unit


@dataclass(frozen=True)
class KeyValues:
    """K and V of one unit for every layer of one adapter, in checkpoint order."""

    layers: tuple[KeyValue, ...]

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(kv.nbytes for kv in self.layers)


@dataclass(frozen=True)
class Pictures:
    """Those of a folder, which are references together."""

    items: tuple[Image.Image, ...]

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return sum(image.width * image.height * len(image.getbands()) for image in self.items)


class Library:
    """Reads files once and encodes pictures once. Everything in it rests on the CPU."""

    def __init__(self) -> None:
        self.adapters: LRU[IPAdapter] = LRU(1 << 30)
        self.encoders: LRU[ImageEncoder] = LRU(0)
        """One at a time: the large ones take gigabytes."""
        self.features: LRU[ImageFeatures] = LRU(64 << 20)
        self.computed: LRU[KeyValues] = LRU(512 << 20)
        """So much that several units with several pictures outlast each other's turn: with plus for SDXL, four pictures
        take 81 MB. What falls out is computed anew at every batch and every pass."""
        self.pictures: LRU[Pictures] = LRU(64 << 20)
        """Of whole folders: each batch and pass asks for them again."""
        self.faces = Recognition(LRU(8 << 20))
        self._facts = FileFacts()
        self._encoding = Encoding(self.encoders, self.features, self._facts)

    def adapter(self, path: Path, choice: Kind | None = None) -> IPAdapter:
        """The adapter in a file; read again when the file has changed. `choice`: what the user says that it is."""
        return self.adapters.get((stamp(path), choice), lambda: _read(path, choice))

    def variant(self, path: Path, choice: Kind | None = None, depth: Depth = Depth.CONTENT) -> Variant:
        """What an adapter file is. Raises `CheckpointError`, and `AmbiguousError` without `choice`.

        `depth`: a list reads no file beyond its header, unless what its content says is known already.
        """
        if depth is Depth.HEADER and self._facts.knows(_as_adapter(choice, Depth.CONTENT), path):
            depth = Depth.CONTENT
        try:
            return self._facts.get(_as_adapter(choice, depth), path, lambda: identify(path, choice, depth))
        except AmbiguousError as error:
            raise error.asking("set the field kind to") from None

    def sizes(self, path: Path) -> EncoderSizes:
        """Sizes of the encoder at `path`, without loading it."""
        return self._facts.get("encoder", path, lambda: encoder_sizes.read_sizes(path))

    def sha256(self, path: Path) -> str:
        """Hash of an adapter file's content, in hex."""
        return self._facts.get("sha256", path, lambda: weights_file.sha256(path))

    def why_not(self, path: Path, layers: Sequence[CrossAttention] = ()) -> str:
        """Why the file at `path` is no adapter for these layers, in a few words; empty when it is one."""
        try:
            variant = self.variant(path, depth=Depth.HEADER)
        except CheckpointError as error:
            return in_short(error, path)
        return why_not(variant, layers) if layers else ""

    def find_encoder(self, variant: Variant, folders: Sequence[Path], name: str | None = None) -> Path:
        """See `encoders.find_encoder`."""
        return encoders.find_encoder(variant, folders, name, self.sizes)

    def key_values(self, unit: Unit, path: Path, host: Host) -> KeyValues:
        """K and V of every layer for a unit's pictures and the adapter at `path`, on the CPU in float32.

        Computed on the host's device, once: batches, passes and later jobs with the same pictures find them here.
        """
        encoder = self._encoder(unit, path, host)

        def compute() -> KeyValues:
            with torch.no_grad(), host.full_precision():
                tokens = self._image_prompt(unit, path, encoder, host).stacked()
                adapter = self.adapter(path, unit.choice)
                layers = where_there_is_room(host.device, lambda device: _maps(adapter, tokens.to(device)), "adapter")
            if not all(kv.finite for kv in layers):
                raise self._drop_damaged(unit, path)
            return KeyValues(layers)

        files = (stamp(path), encoder and stamp(encoder), self._given(unit, host))
        return self.computed.get((unit.shown, *files, str(host.device), host.dtype), compute)

    def image_prompt(self, unit: Unit, path: Path, host: Host) -> SavedPrompt:
        """A unit's pictures as tokens that can be saved, for the adapter at `path`. Raises `IPAdapterError`."""
        with torch.no_grad(), host.full_precision():
            embeds = self._image_prompt(unit, path, self._encoder(unit, path, host), host)
        thumbnail = thumbnail_of(unit.pictures[0]) if unit.pictures else b""
        variant = self.variant(path, unit.choice).kind.value
        return SavedPrompt(embeds, path.stem, self.sha256(path), variant, thumbnail)

    def unload(self) -> int:
        """Frees all memory that the cache holds; gives the number of bytes."""
        caches = (self.adapters, self.encoders, self.features, self.computed, self.pictures)
        freed = sum(cache.nbytes for cache in (*caches, self.faces.found))
        for cache in caches:
            cache.clear()
        self.faces.unload()
        self._facts.clear()
        return freed

    def _image_prompt(self, unit: Unit, path: Path, encoder: Path | None, host: Host) -> ImagePromptEmbeds:
        """What was saved, or what comes of the unit's pictures now."""
        variant = self.variant(path, unit.choice)
        if unit.embeds is not None:
            saved = unit.embeds.read(prompt_folders(host.adapter_folders()))
            return fitting(saved, path.stem, self.sha256(path), variant)
        known, nothing = self._seen(unit, variant, encoder, host)
        adapter = self.adapter(path, unit.choice)

        def tokens(device: torch.device) -> ImagePromptEmbeds:
            return image_tokens(unit, [_on(device, one) for one in known], _on(device, nothing), adapter)

        embeds = where_there_is_room(host.device, tokens, "adapter")
        if not embeds.finite:
            raise self._drop_damaged(unit, path)
        return embeds

    def _seen(self, unit: Unit, variant: Variant, encoder: Path | None, host: Host) -> tuple[list[Parts], Parts]:
        """All that an adapter is to be fed with, of pictures and of nothing, before it is read.

        Beside an encoder on the device there may be no room for it.
        """
        size = self.sizes(encoder).image_size if encoder else 0
        with self._encoding.visit(encoder, host) as see:
            sight = Sight(variant, see, size, host, self.faces)
            return sight.known(unit), sight.nothing(unit)

    def _drop_damaged(self, unit: Unit, path: Path) -> CheckpointError:
        """What to raise of an adapter whose values are not numbers, which is not kept either."""
        self.adapters.drop((stamp(path), unit.choice))
        return _damaged(path)

    def _encoder(self, unit: Unit, path: Path, host: Host) -> Path | None:
        variant = self.variant(path, unit.choice)
        if unit.embeds is not None or variant.feature is None:
            return None
        return self.find_encoder(variant, host.encoder_folders(), unit.encoder)

    def _given(self, unit: Unit, host: Host) -> Hashable:
        """Identity of the files of saved faces and saved prompts."""
        saved = unit.embeds.identity(prompt_folders(host.adapter_folders())) if unit.embeds else None
        return (self.faces.identity(unit, host), saved)


def _on(device: torch.device, parts: Parts) -> Parts:
    return tuple(part.to(device) for part in parts)


def _maps(adapter: IPAdapter, tokens: Tensor) -> tuple[KeyValue, ...]:
    return tuple(kv.cpu() for kv in adapter.key_values(tokens))


def _as_adapter(choice: Kind | None, depth: Depth) -> str:
    """What a file is looked at as."""
    return f"adapter {choice} {depth}"


def _read(path: Path, choice: Kind | None) -> IPAdapter:
    """Refused here where the LoRA is damaged: no token passes it that would tell later."""
    adapter = IPAdapter.read(path, choice)
    if not adapter.lora_finite:
        raise _damaged(path)
    return adapter


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path.name} gives values that are not numbers: it is damaged; download it again.")


LIBRARY = Library()
"""The one piece of module state in this package."""
