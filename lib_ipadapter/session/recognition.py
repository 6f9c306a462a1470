"""The face that a unit means: brought ready-made, or found in its picture, once for each picture."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face import CROP, FaceAnalyser, FaceFeatures, FoundFaces, features
from lib_ipadapter.model.insight import InsightFace
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session.faces import face_folders, find_face
from lib_ipadapter.session.files import home_folder, is_file
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.lru import LRU
from lib_ipadapter.session.stamps import stamp
from lib_ipadapter.session.unit import NO_PICTURE, Unit

Open = Callable[[Sequence[Path]], FaceAnalyser]
"""Opens whatever finds faces, with its models below one of some folders."""


class Recognition:
    """Analyses pictures once, and opens what analyses them when the first one comes."""

    def __init__(self, found: LRU[FoundFaces], open_analyser: Open = InsightFace.open) -> None:
        self.found = found
        self.open_analyser = open_analyser
        self._analyser: FaceAnalyser | None = None

    def rows(self, unit: Unit, host: Host) -> list[Tensor]:
        """The raw embedding of each face that the unit means, ``[1, 512]``. Raises `IPAdapterError`."""
        if unit.face is not None:
            return list(unit.face.read(face_folders(host.adapter_folders())).split(1))
        return [self.features(picture, unit, host).raw for picture in _pictures(unit)]

    def crops(self, unit: Unit, host: Host) -> list[Image.Image]:
        """The aligned face in each picture. One of just that size, beside a ready-made face, is such a face."""
        if unit.face is not None:
            return [p if p.size == (CROP, CROP) else self.features(p, unit, host).crop for p in _pictures(unit)]
        return [self.features(picture, unit, host).crop for picture in _pictures(unit)]

    def features(self, image: Image.Image, unit: Unit, host: Host) -> FaceFeatures:
        """What adapters need of the face in a picture that the unit means. Raises `UnitError`."""
        found = self.found.get(content_hash(image), lambda: FoundFaces.of(image, self._opened(host)))
        return features(image, found.chosen(unit.face_index, _called(image, unit)))

    def identity(self, unit: Unit, host: Host) -> Hashable:
        """Identity of the file of a saved face: all that a unit does not say itself."""
        if unit.face is None or not unit.face.name:
            return None
        return stamp(find_face(unit.face.name, face_folders(host.adapter_folders())).path)

    def unload(self) -> None:
        """Frees the analyser and forgets every face."""
        self._analyser = None
        self.found.clear()

    def _opened(self, host: Host) -> FaceAnalyser:
        if self._analyser is None:
            self._analyser = self.open_analyser(roots(host.encoder_folders()))
        return self._analyser


def roots(encoder_folders: Sequence[Path]) -> list[Path]:
    """Where insightface's models may be: ``insightface`` beside each folder of encoders, and its own default place."""
    beside = (_shelf(folder).parent / "insightface" for folder in encoder_folders)
    own = home_folder()
    return [*dict.fromkeys(beside), *([own / ".insightface"] if own else [])]


def _shelf(folder: Path) -> Path:
    """The folder of encoders, also where one of them was named itself."""
    return folder.parent if is_file(folder) or is_file(folder / "config.json") else folder


def _called(image: Image.Image, unit: Unit) -> str:
    """What the unit's user calls a picture of it."""
    others = {"negative picture": unit.negative_image, "picture for the composition": unit.composition_image}
    return next((name for name, other in others.items() if image is other), "reference picture")


def _pictures(unit: Unit) -> tuple[Image.Image, ...]:
    if not unit.pictures:
        raise UnitError(NO_PICTURE)
    return unit.pictures
