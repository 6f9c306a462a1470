"""What an image encoder gives, found in memory, then on disk, and only then computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.model.vision import ImageEncoder, ImageFeatures, Staged
from lib_ipadapter.session.devices import is_full, warn
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.lru import LRU
from lib_ipadapter.session.stamps import FileFacts, fingerprint, stamp

NOTHING = "nothing"
"""In place of a picture's hash: a zero pixel tensor."""

FORMAT = "1"
"""Of what is on the disk: to be counted up when the same picture and encoder would give other features than before."""

Place = tuple[torch.device, torch.dtype]
"""Where, and in what, an encoder computes."""

View = Image.Image | None
"""What the encoder is given: a square picture, or, for None, a zero pixel tensor."""


See = Callable[[Sequence[View]], list[ImageFeatures]]
"""Shows views to an encoder. Raises `CheckpointError` for one that is damaged."""


class Encoding:
    """Encodes each view of each picture once for all adapters, passes, jobs and starts."""

    def __init__(self, encoders: LRU[ImageEncoder], features: LRU[ImageFeatures], facts: FileFacts) -> None:
        self.encoders = encoders
        self.features = features
        self.facts = facts

    @contextmanager
    def visit(self, path: Path | None, host: Host) -> Iterator[See]:
        """Shows views to the encoder at `path`, which goes to the device once for all of them, if any is new to it.

        `path`: None for an adapter that needs no encoder, and then has no view to show.
        """
        visit = Visit(self._encoder, host)

        def see(views: Sequence[View]) -> list[ImageFeatures]:
            assert path is not None
            return [self._known(view, path, visit) for view in views]

        try:
            yield see
        finally:
            visit.leave()

    def _encoder(self, path: Path) -> ImageEncoder:
        return self.encoders.get(stamp(path), lambda: ImageEncoder.read(path))

    def _known(self, view: View, path: Path, visit: Visit) -> ImageFeatures:
        shown = NOTHING if view is None else content_hash(view)
        computed = (str(visit.host.device), str(visit.host.dtype))
        return self.features.get((shown, stamp(path), *computed), lambda: self._kept(shown, view, path, visit))

    def _kept(self, shown: str, view: View, path: Path, visit: Visit) -> ImageFeatures:
        """From the disk, or computed and put there."""
        host = visit.host
        disk = host.feature_cache()
        if disk is None:
            return self._computed(view, path, visit)[0]
        encoder = self.facts.get("content", path, lambda: fingerprint(path))
        found = disk.get(_key(shown, encoder, (host.device, host.dtype)))
        if found is None:
            found, place = self._computed(view, path, visit)
            # Where it was computed, not where it should have been: next time there may be room.
            disk.put(_key(shown, encoder, place), found)
        return found

    def _computed(self, view: View, path: Path, visit: Visit) -> tuple[ImageFeatures, Place]:
        """By the encoder, and where; nothing of one that is damaged is kept."""
        features, place = visit.encode(view, path)
        if not features.finite:
            self.encoders.drop(stamp(path))
            raise CheckpointError(
                f"The image encoder {path.name} gives values that are not numbers: it is damaged, or overflows in half"
                " precision; download it again or compute in full precision."
            )
        return features, place


class Visit:
    """An encoder on the host's device, from the first view that must be encoded on."""

    def __init__(self, read: Callable[[Path], ImageEncoder], host: Host) -> None:
        self.host = host
        self._encoder = cache(read)
        self._place: Place = (host.device, host.dtype)
        self._staged: Staged | None = None

    def encode(self, view: View, path: Path) -> tuple[ImageFeatures, Place]:
        """By the encoder at `path`, and where: slowly on the CPU if there is no room beside the checkpoint."""
        try:
            return self._encode(view, path), self._place
        except RuntimeError as error:
            if not is_full(error):
                raise
            warn("image encoder", self._place[0])
            self._place, self._staged = (torch.device("cpu"), torch.float32), None
        return self._encode(view, path), self._place

    def leave(self) -> None:
        """Frees the device, whoever still holds this."""
        self._staged = None

    def _encode(self, view: View, path: Path) -> ImageFeatures:
        encoder = self._encoder(path)
        self._staged = self._staged or encoder.stage(*self._place)
        if view is None:
            return encoder.encode_zeros(*self._place, self._staged)
        return encoder.encode(view, *self._place, self._staged)


def _key(shown: str, encoder: str, place: Place) -> str:
    """By which features are found on the disk."""
    return " ".join([FORMAT, shown, encoder, *map(str, place)])
