"""One unit: a reference picture, an adapter, and how they act. `FIELDS` is the only list of what a unit has.

The page, the API, the infotext and the documentation are all made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from functools import cached_property
from typing import Any

from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session import parsers
from lib_ipadapter.session.faces import Combine, GivenFace

AUTO = "auto"
"""What a file is, is told by the file."""

KINDS = (AUTO, Kind.FACEID_PLUS.value, Kind.FACEID_PLUS_V2.value, Kind.PORTRAIT_UNNORM.value, Kind.PLUS.value)
"""Those that a file's shapes may leave open."""

NO_PICTURE = "An IP-Adapter unit is enabled without a reference picture; add one or disable the unit."


class Type(str, Enum):
    """What a field holds."""

    SWITCH = "true or false"
    NUMBER = "a number"
    INTEGER = "a whole number"
    CHOICE = "one of a few words"
    MODEL = "the name of an adapter"
    ENCODER = "the name of an image encoder"
    PICTURE = "a picture"
    FACE = "a face embedding"


@dataclass(frozen=True)
class Field:
    """One thing that a user can say about a unit."""

    name: str
    """Attribute of `Unit`, key in the API and in the infotext."""
    label: str
    type: Type
    default: Any
    about: str
    """One sentence for tooltips and documentation."""
    minimum: float = 0.0
    maximum: float = 1.0
    step: float = 0.01
    choices: tuple[str, ...] = ()
    rare: bool = False
    """Seldom set: the infotext has it only where it says something, and pasting resets it where it is not mentioned."""

    def parse(self, value: Any) -> Any:
        """`value` as this field holds it; pictures are expected decoded. Raises `UnitError`."""
        return PARSERS[self.type](self, value)


FIELDS = (
    Field("enabled", "Enable", Type.SWITCH, True, "Whether the unit acts at all."),
    Field("image", "Reference picture", Type.PICTURE, None, "The picture that is used as a prompt."),
    Field("model", "Model", Type.MODEL, None, "The adapter file, with or without its extension."),
    Field(
        "scale",
        "Scale",
        Type.NUMBER,
        0.6,
        "Strength of the picture against the text; at 1 the text is all but drowned.",
        maximum=2.0,
        step=0.05,
    ),
    Field("start", "Start", Type.NUMBER, 0.0, "Fraction of the steps after which the picture begins to act."),
    Field("end", "End", Type.NUMBER, 1.0, "Fraction of the steps after which the picture no longer acts."),
    Field(
        "encoder",
        "Image encoder",
        Type.ENCODER,
        None,
        "The image encoder by name; without it the one that fits.",
        rare=True,
    ),
    Field(
        "face",
        "Saved face",
        Type.FACE,
        None,
        "A ready-made face embedding for FaceID files, or the name of a saved one; else the face in the picture.",
        rare=True,
    ),
    Field(
        "face_index",
        "Which face",
        Type.INTEGER,
        0,
        "Which of several faces in the picture; 0 is the largest.",
        maximum=15,
        step=1,
        rare=True,
    ),
    Field(
        "face_combine",
        "Several saved faces",
        Type.CHOICE,
        Combine.AVERAGE.value,
        "What several embeddings become: `average` is one face between them, `concat` keeps each (portrait files).",
        choices=tuple(way.value for way in Combine),
        rare=True,
    ),
    Field(
        "shortcut_scale",
        "Face structure",
        Type.NUMBER,
        1.0,
        "FaceID-plus v2: how much the picture of the face counts beside its embedding.",
        maximum=3.0,
        step=0.05,
        rare=True,
    ),
    Field(
        "lora_scale",
        "LoRA strength",
        Type.NUMBER,
        1.0,
        "Strength of the LoRA inside a FaceID file; it was trained at 1.",
        maximum=2.0,
        step=0.05,
        rare=True,
    ),
    Field(
        "kind",
        "Kind of file",
        Type.CHOICE,
        AUTO,
        "What the adapter file is, where neither its content nor its name tells.",
        choices=KINDS,
        rare=True,
    ),
)


@dataclass(frozen=True)
class Unit:
    """A unit as the user set it; see `FIELDS` for what each attribute means."""

    enabled: bool = True
    image: Image.Image | None = field(default=None, repr=False)
    model: str | None = None
    scale: float = 0.6
    start: float = 0.0
    end: float = 1.0
    encoder: str | None = None
    face: GivenFace | None = None
    face_index: int = 0
    face_combine: str = Combine.AVERAGE.value
    shortcut_scale: float = 1.0
    lora_scale: float = 1.0
    kind: str = AUTO

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Unit:
        """A unit from field name -> value; what is missing takes its default. Raises `UnitError`."""
        known = {f.name: f for f in FIELDS}
        if unknown := sorted(set(values) - set(known), key=str):
            raise UnitError(f"An IP-Adapter unit has no field {unknown[0]!r}; the fields are {', '.join(known)}.")
        return cls(**{name: known[name].parse(value) for name, value in values.items()})

    @property
    def schedule(self) -> Schedule:
        """When the unit acts."""
        return Schedule(self.start, self.end)

    @property
    def active(self) -> bool:
        """Whether the unit can change the picture at all; nothing is loaded for one that cannot."""
        return self.enabled and self.scale != 0.0 and not self.schedule.empty

    def check(self) -> None:
        """Raises `UnitError` for an active unit that lacks something."""
        if self.image is None and self.face is None:
            raise UnitError(NO_PICTURE)
        if not self.model:
            raise UnitError("An IP-Adapter unit is enabled without a model; choose one or disable the unit.")

    @cached_property
    def image_hash(self) -> str:
        """Hash of the picture's content; empty without a picture."""
        return content_hash(self.image) if self.image is not None else ""

    @property
    def choice(self) -> Kind | None:
        """What the user says that the file is; None leaves it to the file."""
        return None if self.kind == AUTO else Kind(self.kind)

    @property
    def order(self) -> tuple[Any, ...]:
        """Units are summed in this order, so that the order they were given in cannot change a single bit."""
        picture = (self.image_hash, self.face.label if self.face else "")
        rest = tuple(getattr(self, f.name) for f in FIELDS if f.type in (Type.NUMBER, Type.INTEGER, Type.CHOICE))
        return (self.model or "", self.encoder or "", *picture, *rest)


PARSERS = {
    Type.SWITCH: parsers.parse_switch,
    Type.NUMBER: parsers.parse_number,
    Type.INTEGER: parsers.parse_integer,
    Type.CHOICE: parsers.parse_choice,
    Type.FACE: lambda _, value: GivenFace.parse(value),
    Type.MODEL: parsers.parse_name,
    Type.ENCODER: parsers.parse_name,
    Type.PICTURE: parsers.parse_picture,
}

assert [f.name for f in FIELDS] == [f.name for f in fields(Unit)]
