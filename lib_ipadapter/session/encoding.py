"""What an image encoder gives, found in memory, then on disk, and only then computed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch
from PIL import Image

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.model.vision import ImageEncoder, ImageFeatures
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.lru import LRU
from lib_ipadapter.session.stamps import Headers, fingerprint, stamp

LOG = logging.getLogger("IP-Adapter")

NOTHING = "nothing"
"""In place of a picture's hash: a zero pixel tensor."""

FORMAT = "1"
"""Of what is on the disk: to be counted up when the same picture and encoder would give other features than before."""

Place = tuple[torch.device, torch.dtype]
"""Where, and in what, an encoder computes."""

Encode = Callable[[ImageEncoder, torch.device, torch.dtype], ImageFeatures]


class Encoding:
    """Encodes each view of each picture once for all adapters, passes, jobs and starts."""

    def __init__(self, encoders: LRU[ImageEncoder], features: LRU[ImageFeatures], headers: Headers) -> None:
        self.encoders = encoders
        self.features = features
        self.headers = headers

    def features_of(self, view: Image.Image | None, path: Path, host: Host) -> ImageFeatures:
        """By the encoder at `path`, of a view of a picture, or, without one, of a zero pixel tensor."""

        def encode(encoder: ImageEncoder, device: torch.device, dtype: torch.dtype) -> ImageFeatures:
            return encoder.encode_zeros(device, dtype) if view is None else encoder.encode(view, device, dtype)

        shown = NOTHING if view is None else content_hash(view)
        computed = (str(host.device), str(host.dtype))
        return self.features.get((shown, stamp(path), *computed), lambda: self._kept(shown, path, host, encode))

    def _kept(self, shown: str, path: Path, host: Host, encode: Encode) -> ImageFeatures:
        """From the disk, or computed and put there."""
        disk = host.feature_cache()
        if disk is None:
            return self._computed(path, host, encode)[0]
        encoder = self.headers.get("content", path, lambda: fingerprint(path))
        found = disk.get(_key(shown, encoder, (host.device, host.dtype)))
        if found is None:
            found, place = self._computed(path, host, encode)
            # Where it was computed, not where it should have been: next time there may be room.
            disk.put(_key(shown, encoder, place), found)
        return found

    def _computed(self, path: Path, host: Host, encode: Encode) -> tuple[ImageFeatures, Place]:
        """By the encoder at `path`, and where; nothing of one that is damaged is kept."""
        encoder = self.encoders.get(stamp(path), lambda: ImageEncoder.read(path))
        features, place = _on_device_or_cpu(encoder, encode, host)
        if not features.finite:
            self.encoders.drop(stamp(path))
            raise CheckpointError(
                f"The image encoder {path.name} gives values that are not numbers: it is damaged, or overflows in half"
                " precision; download it again or compute in full precision."
            )
        return features, place


def _key(shown: str, encoder: str, place: Place) -> str:
    """By which features are found on the disk."""
    return " ".join([FORMAT, shown, encoder, *map(str, place)])


def _on_device_or_cpu(encoder: ImageEncoder, encode: Encode, host: Host) -> tuple[ImageFeatures, Place]:
    """On the host's device; where a large encoder finds no room beside the checkpoint, slowly on the CPU."""
    place = (host.device, host.dtype)
    try:
        return encode(encoder, *place), place
    except torch.cuda.OutOfMemoryError:
        LOG.warning("IP-Adapter: no room for the image encoder on %s; it runs on the CPU this time.", host.device)
        place = (torch.device("cpu"), torch.float32)
        return encode(encoder, *place), place
