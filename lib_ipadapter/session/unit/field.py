"""What there is to say about one thing that a user can set."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from lib_ipadapter.session.unit import parsers


class Type(str, Enum):
    """What a field holds."""

    SWITCH = "true or false"
    NUMBER = "a number"
    INTEGER = "a whole number"
    CHOICE = "one of a few words"
    MODEL = "the name of an adapter"
    ENCODER = "the name of an image encoder"
    PICTURE = "a picture"
    MASK = "a mask"
    COLOUR = "a colour"
    FACE = "a face embedding"
    CURVE = "numbers over the steps, as 0:1, 0.5:0.3, 1:0 or [0.3:0.9:0.5]"
    LAYERS = "numbers by layer, as 0:1, 4:0.25, 5:-1, or all of them"
    GRID = "rows of numbers, as 1, 0; 0.5, 1"
    PICTURES = "a list of pictures"
    WEIGHTS = "a list of numbers"
    EMBEDS = "a saved image prompt"
    FOLDER = "the name of a folder"


PICTURES = (Type.PICTURE, Type.PICTURES, Type.MASK)
"""Types that arrive as pictures; an infotext has only their hashes."""

GIVEN = (Type.FACE, Type.EMBEDS)
"""Types with a name that may be published, or a content of which only a hash may."""


@dataclass(frozen=True)
class Field:
    """One thing that a user can say about a unit."""

    label: str
    type: Type
    about: str
    """One sentence for tooltips and documentation."""
    name: str = ""
    """Attribute of `Unit`, key in the API and in the infotext."""
    default: Any = None
    minimum: float = 0.0
    maximum: float = 1.0
    step: float = 0.01
    choices: tuple[str, ...] = ()
    rare: bool = False
    """Seldom set: the infotext has it only where it says something, and pasting resets it where it is not mentioned."""
    late: bool = False
    """Acts on keys and values that are there already: they need not be computed again when it changes."""
    axis: bool = False
    """Worth an axis of the X/Y/Z plot."""

    @property
    def hash_key(self) -> str:
        """Key in the infotext of what stands for a content; pictures have nothing else there."""
        return self.name if self.type in PICTURES else f"{self.name}_hash"

    def parse(self, value: Any) -> Any:
        """`value` as this field holds it; pictures are expected decoded. Raises `UnitError`."""
        return PARSERS[self.type](self, value)


def setting(label: str, type: Type, about: str, **more: Any) -> Any:  # noqa: A002 - as `Field` calls it
    """An attribute of a unit, and its `Field`, in one line; `more` are attributes of that."""
    field = Field(label, type, about, **more)
    shown = type not in (*PICTURES, Type.FACE)
    return dataclasses.field(default=field.default, repr=shown, metadata={Field: field})


def fields_of(unit: Any) -> tuple[Field, ...]:
    """Those of a unit, or of one of the classes that it is made of, in the order in which they are written."""
    return tuple(replace(one.metadata[Field], name=one.name) for one in dataclasses.fields(unit))


PARSERS = {
    Type.SWITCH: parsers.parse_switch,
    Type.NUMBER: parsers.parse_number,
    Type.INTEGER: parsers.parse_integer,
    Type.CHOICE: parsers.parse_choice,
    Type.MODEL: parsers.parse_name,
    Type.ENCODER: parsers.parse_name,
    Type.PICTURE: parsers.parse_picture,
    Type.MASK: parsers.parse_mask,
    Type.COLOUR: parsers.parse_colour,
    Type.FACE: parsers.parse_face,
    Type.CURVE: parsers.parse_curve,
    Type.LAYERS: parsers.parse_layers,
    Type.GRID: parsers.parse_grid,
    Type.PICTURES: parsers.parse_pictures,
    Type.WEIGHTS: parsers.parse_weights,
    Type.EMBEDS: parsers.parse_embeds,
    Type.FOLDER: parsers.parse_folder,
}
