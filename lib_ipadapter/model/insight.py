"""insightface, where the user has installed it: nothing else here needs it, and nothing here installs it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from lib_ipadapter.errors import UnitError, reason
from lib_ipadapter.model.face import Face

PACK = "buffalo_l"
"""The models with which FaceID files were trained."""

MODULES = ("detection", "recognition")
"""The two of its five models that are needed."""

SIZES = (640, 512, 384, 320, 256, 192, 128)
"""Sides in pixels to which a picture is scaled for the search, one after the other until a face is found.

A face that fills its picture is larger than what the detector knows; in a smaller copy it is found.
"""

INSTALL = "python -m pip install insightface onnxruntime"
BOUNDS = ' "onnx<1.17" "numpy<2" "protobuf<4"'
"""Where numpy is of version 1: without them pip replaces the numpy and the protobuf that WebUI 1.10.1 pins."""

READY_MADE = ", or give a ready-made embedding in the field `face`"
"""What a unit has for those who do not want to install anything."""

REPAIR = "python -m pip install --force-reinstall --no-deps --no-cache-dir insightface"


class InsightFace:
    """insightface's analysis, on the CPU: it takes a second for each picture and no memory of the GPU."""

    def __init__(self, analysis: Any) -> None:
        self.analysis = analysis
        with contextlib.redirect_stdout(io.StringIO()):  # it prints every model that it finds
            analysis.prepare(ctx_id=-1, det_size=(SIZES[0], SIZES[0]))

    @classmethod
    def open(cls, roots: Sequence[Path], otherwise: str = READY_MADE) -> InsightFace:
        """With the models below the first of `roots` that has them, in ``models/buffalo_l``. Raises `UnitError`.

        `otherwise`: what its sentence adds where insightface is missing.
        """
        make = _face_analysis(otherwise)
        root = _root(roots)
        home = root / "models" / PACK
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                analysis = make(
                    name=PACK, root=str(root), allowed_modules=list(MODULES), providers=["CPUExecutionProvider"]
                )
                return cls(_complete(analysis))
        except Exception as error:  # onnxruntime and a damaged model may raise anything
            why = _reason(error).replace(str(home), PACK)
            raise UnitError(
                f"insightface cannot open its models {PACK} ({why}); download them again into {home}."
            ) from error

    def faces(self, image: Image.Image) -> list[Face]:
        """Every face in an RGB picture, at the first of `SIZES` at which there is one."""
        bgr = np.ascontiguousarray(np.asarray(image)[:, :, ::-1])
        for size in SIZES:
            if size * min(image.size) <= max(image.size):
                break  # it cannot scale a side to nothing
            # Its `get` searches at the size of `prepare` only, which each version remembers in another way.
            boxes, points = self.analysis.det_model.detect(bgr, input_size=(size, size))
            if len(boxes):
                return [self._face(bgr, *found) for found in zip(boxes, points, strict=True)]
        return []

    def _face(self, bgr: Any, box: Any, points: Any) -> Face:
        """`box` is left, top, right, bottom and how sure it is; `points` are the landmarks."""
        left, top, right, bottom, _ = map(float, box)
        embedding = self.analysis.models["recognition"].get(bgr, SimpleNamespace(kps=points))
        return Face(
            box=(left, top, right, bottom),
            landmarks=tuple((float(x), float(y)) for x, y in points),
            embedding=tuple(map(float, embedding)),
        )


def _complete(analysis: Any) -> Any:
    """`analysis` unless a model is missing, of which it would not say a word."""
    if missing := [task for task in MODULES if task not in analysis.models]:
        raise LookupError(f"there is none for {' and '.join(missing)}")
    return analysis


def _reason(error: Exception) -> str:
    """The first line; where it only asserts that it has a detector there is none."""
    silent = isinstance(error, AssertionError) and not str(error)
    return "there is none for detection" if silent else reason(error)


def _face_analysis(otherwise: str) -> Any:
    """insightface's class. Raises `UnitError` that says how to install it."""
    try:
        from insightface.app import FaceAnalysis  # noqa: PLC0415 - optional, and takes seconds to import
    except ImportError as error:
        raise UnitError(
            "FaceID files need a face embedding, and insightface, which makes them, is not installed"
            f" ({error.name or error}): run `{INSTALL}{BOUNDS if np.__version__.startswith('1.') else ''}` with the"
            f" Python that this runs in and start again{otherwise}."
        ) from None
    except Exception as error:  # what was built for another numpy raises a ValueError
        raise UnitError(
            f"insightface is installed, but cannot be imported ({_reason(error)}): run `{REPAIR}` with the Python"
            f" that this runs in and start again{otherwise}."
        ) from error
    return FaceAnalysis


def _root(roots: Sequence[Path]) -> Path:
    """Asked for a pack that is not there, insightface would fetch it from the network, unverified."""
    for root in roots:
        if any((root / "models" / PACK).glob("*.onnx")):
            return root
    places = " or ".join(str(root / "models" / PACK) for root in dict.fromkeys((*roots[:1], *roots[-1:])))
    raise UnitError(
        f"insightface is installed, but its models {PACK} are not there; unpack {PACK}.zip from the releases of"
        f" github.com/deepinsight/insightface into {places}."
    )
