"""What only FaceID files know."""

from __future__ import annotations

from dataclasses import dataclass

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.faces import FaceCombination, GivenFace
from lib_ipadapter.session.unit.field import Type, setting

AUTO = "auto"
"""What a file is, is told by the file."""

KINDS = (AUTO, Kind.FACEID_PLUS.value, Kind.FACEID_PLUS_V2.value, Kind.PORTRAIT_UNNORM.value, Kind.PLUS.value)
"""Those that a file's shapes may leave open."""


@dataclass(frozen=True)
class Face:
    """Whose face, and how it acts."""

    face: GivenFace | None = setting(
        "Saved face",
        Type.FACE,
        "A ready-made face embedding for FaceID files, or the name of a saved one; else the face in the picture.",
        rare=True,
    )
    face_index: int = setting(
        "Which face",
        Type.INTEGER,
        "Which of several faces in the picture; 0 is the largest.",
        default=0,
        maximum=15,
        step=1,
        rare=True,
    )
    face_combine: str = setting(
        "Several faces",
        Type.CHOICE,
        "What several faces, saved or one in each picture, become: `average` is one face between them, `concat` keeps"
        " each (portrait files).",
        default=FaceCombination.AVERAGE.value,
        choices=tuple(way.value for way in FaceCombination),
        rare=True,
    )
    shortcut_scale: float = setting(
        "Face structure",
        Type.NUMBER,
        "FaceID-plus v2: how much the picture of the face counts beside its embedding.",
        default=1.0,
        maximum=3.0,
        step=0.05,
        rare=True,
    )
    lora_scale: float = setting(
        "LoRA strength",
        Type.NUMBER,
        "Strength of the LoRA inside a FaceID file; it was trained at 1.",
        default=1.0,
        maximum=2.0,
        step=0.05,
        rare=True,
        late=True,
    )
    kind: str = setting(
        "Kind of file",
        Type.CHOICE,
        "What the adapter file is, where neither its content nor its name tells.",
        default=AUTO,
        choices=KINDS,
        rare=True,
    )

    @property
    def choice(self) -> Kind | None:
        """What the user says that the file is; None leaves it to the file."""
        return None if self.kind == AUTO else Kind(self.kind)
