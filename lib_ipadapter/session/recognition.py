"""The face that a unit means: brought ready-made, or found in its picture, once for each picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face import CROP, FaceAnalyser, FaceFeatures, FoundFaces, features
from lib_ipadapter.model.insight import InsightFace
from lib_ipadapter.model.variant import FaceFeature
from lib_ipadapter.session.faces import face_folders, find_face, prepared
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.lru import LRU
from lib_ipadapter.session.unit import NO_PICTURE, Unit

Open = Callable[[Sequence[Path]], FaceAnalyser]
"""Opens whatever finds faces, with its models below one of some folders."""


class Recognition:
    """Analyses pictures once, and opens what analyses them when the first one comes."""

    def __init__(self, found: LRU[FoundFaces], open_analyser: Open = InsightFace.open) -> None:
        self.found = found
        self.open_analyser = open_analyser
        self._analyser: FaceAnalyser | None = None

    def embeds(self, unit: Unit, feature: FaceFeature, host: Host) -> Tensor:
        """What an adapter is fed with, ``[1, 512]``, or a row for each of the faces that are put side by side."""
        if unit.face is not None:
            raw = unit.face.read(face_folders(host.adapter_folders()))
        else:
            raw = self.features(unit, host).raw
        return prepared(raw, feature, unit.face_combine)

    def crop(self, unit: Unit, host: Host) -> Image.Image:
        """The aligned face for the image encoder. A picture of just that size, beside a ready-made face, is one."""
        if unit.image is not None and unit.face is not None and unit.image.size == (CROP, CROP):
            return unit.image
        return self.features(unit, host).crop

    def features(self, unit: Unit, host: Host) -> FaceFeatures:
        """Of the face in the unit's picture that is meant. Raises `UnitError`."""
        if unit.image is None:
            raise UnitError(NO_PICTURE)
        image = unit.image
        found = self.found.get(unit.image_hash, lambda: FoundFaces.of(image, self._opened(host)))
        return features(image, found.chosen(unit.face_index))

    def identity(self, unit: Unit, host: Host) -> Hashable:
        """What `embeds` and `crop` of a unit depend on."""
        if unit.face is None or not unit.face.name:
            given = unit.face
        else:
            about = find_face(unit.face.name, face_folders(host.adapter_folders())).path.stat()
            given = (unit.face.name, about.st_size, about.st_mtime_ns)
        return (unit.image_hash, unit.face_index, given, unit.face_combine)

    def unload(self) -> None:
        """Frees the analyser and forgets every face."""
        self._analyser = None
        self.found.clear()

    def _opened(self, host: Host) -> FaceAnalyser:
        if self._analyser is None:
            self._analyser = self.open_analyser(roots(host))
        return self._analyser


def roots(host: Host) -> list[Path]:
    """Where insightface's models may be: ``insightface`` beside each folder of encoders, and its own default place."""
    return [*(folder.parent / "insightface" for folder in host.encoder_folders()), Path.home() / ".insightface"]
