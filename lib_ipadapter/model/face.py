"""Faces: what is found in a picture, which of them is meant, and what an adapter is fed with.

FaceID files were trained on the embeddings of insightface's model pack buffalo_l, which was given pictures in BGR
(tencent-ailab/IP-Adapter@62e4af9 README.md, "FaceID"). Where that package is not installed, embeddings that somebody
has made elsewhere do as well: see `lib_ipadapter.model.face_file`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import as_rgb

WIDTH = 512
"""Of a face embedding."""

CROP = 224
"""Side of the aligned crop, as FaceID-plus was trained."""

TEMPLATE = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""Where ArcFace has both eyes, the tip of the nose and both corners of the mouth, in a square of `TEMPLATE_SIDE`:
x, y of pixel centres, those of a whole pixel being whole (deepinsight/insightface
python-package/insightface/utils/face_align.py, arcface_dst)."""

TEMPLATE_SIDE = 112


@dataclass(frozen=True)
class Face:
    """One face in a picture."""

    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in pixels."""
    landmarks: tuple[tuple[float, float], ...]
    """Left eye, right eye, tip of the nose, left and right corner of the mouth (left in the picture), in pixels."""
    embedding: tuple[float, ...]
    """As the network gives it, not of length 1."""

    @property
    def area(self) -> float:
        """How large the box is, in square pixels."""
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)


class FaceAnalyser(Protocol):
    """Whatever finds faces. Its pictures are RGB."""

    def faces(self, image: Image.Image) -> list[Face]:
        """Every face in `image`, in any order."""
        ...


@dataclass(frozen=True)
class FaceFeatures:
    """All that any adapter needs of a face."""

    raw: Tensor
    """``[1, 512]``, as the network gives it."""
    crop: Image.Image
    """The aligned face, `CROP` pixels wide and high."""


@dataclass(frozen=True)
class FoundFaces:
    """The faces of one picture, the largest first."""

    faces: tuple[Face, ...]

    @classmethod
    def of(cls, image: Image.Image, analyser: FaceAnalyser) -> FoundFaces:
        """The faces that `analyser` finds in `image`."""
        found = analyser.faces(as_rgb(image))
        return cls(tuple(sorted(found, key=lambda face: face.area, reverse=True)))

    def chosen(self, index: int, picture: str = "reference picture") -> Face:
        """The face that the user means, 0 being the largest. `picture`: what it is called. Raises `UnitError`."""
        if not self.faces:
            raise UnitError(
                f"No face was found in the {picture}; choose one in which a face is larger, sharper and turned"
                " to the viewer, or an adapter that needs none."
            )
        if index >= len(self.faces):
            raise UnitError(
                f"face_index is {index}, but the {picture} has {len(self.faces)} of them; choose"
                f" 0, the largest, to {len(self.faces) - 1}."
                if len(self.faces) > 1
                else f"face_index is {index}, but the {picture} has one face only; choose 0."
            )
        return self.faces[index]

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes, roughly: a number takes 32, and to know that there is no face takes some too."""
        return 1024 + 32 * sum(len(face.embedding) + 14 for face in self.faces)


def features(image: Image.Image, face: Face) -> FaceFeatures:
    """What adapters need of `face` in `image`."""
    return FaceFeatures(raw=torch.tensor([face.embedding]), crop=aligned_crop(image, face.landmarks))


def normed(raw: Tensor) -> Tensor:
    """Embeddings as rows, ``[rows, 512]`` -> each of length 1."""
    return raw / raw.norm(dim=-1, keepdim=True)


def aligned_crop(image: Image.Image, landmarks: Sequence[tuple[float, float]], size: int = CROP) -> Image.Image:
    """The face turned, scaled and moved so that its landmarks lie on ArcFace's template; black outside the picture."""
    # Fitted as the network was trained, onto the template (insightface's face_align.py), and then turned over: of
    # landmarks that do not fit, as those of a face from the side, the other way gives another size.
    there, by = similarity([x + 1j * y for x, y in landmarks], [x + 1j * y for x, y in TEMPLATE])
    factor, shift = 1 / there, -by / there
    factor *= TEMPLATE_SIDE / size
    # Pillow counts from a pixel's corner, the template from its centre: half a pixel on either side.
    shift += (0.5 + 0.5j) * (1 - factor)
    matrix = (factor.real, -factor.imag, shift.real, factor.imag, factor.real, shift.imag)
    return as_rgb(image).transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def similarity(points: Sequence[complex], onto: Sequence[complex]) -> tuple[complex, complex]:
    """``factor, shift`` for which ``factor * point + shift`` is nearest to `onto`, by least squares.

    In the plane a rotation with scaling is the product with one complex number, which is Umeyama's closed form
    (IEEE PAMI 13(4), 1991) without its reflections.
    """
    source, target = np.asarray(points), np.asarray(onto)
    apart = source - source.mean()
    factor = complex((apart.conj() * (target - target.mean())).sum() / (apart.conj() * apart).sum().real)
    return factor, complex(target.mean() - factor * source.mean())
