"""One unit: a reference picture, an adapter, and how they act. `FIELDS` is the only list of what a unit has.

The page, the API, the infotext and the documentation are all made from it. Each topic has a file here, and a panel of
its own in the page (`TOPICS`).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session.unit.everyday import Everyday
from lib_ipadapter.session.unit.face import Face
from lib_ipadapter.session.unit.field import GIVEN, PICTURES, Type, fields_of
from lib_ipadapter.session.unit.layering import Layering
from lib_ipadapter.session.unit.notation import read_curve
from lib_ipadapter.session.unit.passes import PassFields
from lib_ipadapter.session.unit.references import Negative, References, Saved
from lib_ipadapter.session.unit.seen import Seen
from lib_ipadapter.session.unit.where import Where

NO_PICTURE = "An IP-Adapter unit is enabled without a reference picture; add one or disable the unit."

ORDERED = (
    *(Type.NUMBER, Type.INTEGER, Type.CHOICE, Type.COLOUR),
    *(Type.WEIGHTS, Type.CURVE, Type.LAYERS, Type.GRID),
)
"""Types of fields that can be sorted."""


@dataclass(frozen=True)
class Unit(Face, Saved, Negative, PassFields, Layering, Where, Seen, References, Everyday):
    """A unit as the user set it; see `FIELDS` for what each attribute means.

    A dataclass has the fields of its last base first: read from the right, the bases are in the order of `TOPICS`.
    """

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Unit:
        """A unit from field name -> value; what is missing takes its default. Raises `UnitError`."""
        known = {f.name: f for f in FIELDS}
        if unknown := sorted(set(values) - set(known), key=str):
            near = difflib.get_close_matches(str(unknown[0]), known, 1)
            raise UnitError(
                f"IP-Adapter: a unit has no field {unknown[0]!r}; the fields are {', '.join(known)}"
                f"{'; the nearest is ' + near[0] if near else ''}."
            )
        return cls(**{name: known[name].parse(value) for name, value in values.items()})

    @property
    def schedule(self) -> Schedule:
        """When the unit acts."""
        return Schedule(self.start, self.end, read_curve(self.curve))

    @property
    def active(self) -> bool:
        """Whether the unit can change the picture at all; nothing is loaded for one that cannot."""
        return self.enabled and not self.schedule.empty and self.strong(self.scale)

    def check(self) -> None:
        """Raises `UnitError` for an active unit that lacks something."""
        if self.blank:
            raise UnitError(NO_PICTURE)
        if not self.model:
            raise UnitError("An IP-Adapter unit is enabled without a model; choose one or disable the unit.")
        if self.embeds is not None and (self.negative_image is not None or self.noise):
            raise UnitError(
                "IP-Adapter: a saved image prompt has its own negative picture inside; take the negative picture and"
                " the noise away, or save the pictures again with them."
            )

    @property
    def pictures(self) -> tuple[Image.Image, ...]:
        """All reference pictures."""
        return (*((self.image,) if self.image is not None else ()), *self.images)

    def showing(self, image: Image.Image) -> Unit:
        """The unit with another picture in place of all that it shows, and nothing of what was said of its own."""
        own = {"images": (), "weights": "", "image_mask": None, "face": None, "face_index": 0, "embeds": None}
        return replace(self, image=image, **own)

    @property
    def blank(self) -> bool:
        """Whether there is nothing that could be shown: no picture, no face, no saved prompt."""
        return not self.pictures and self.face is None and self.embeds is None

    @property
    def in_turn(self) -> bool:
        """Whether each item of a batch gets a picture, a face, or a part of a saved prompt of its own."""
        return self.combine == Combination.BATCH and self.turns != 1

    @property
    def turns(self) -> int | None:
        """How many pictures, faces or parts of a prompt take turns; None where only a file or the adapter tells."""
        if self.embeds:
            return self.embeds.count
        found = {len(self.pictures)} - {0} | ({self.face.count} if self.face else set())
        return None if len(found) != 1 else found.pop()

    @cached_property
    def hashes(self) -> Mapping[str, tuple[str, ...]]:
        """Name of each field of pictures -> the hash of each picture's content, in hex."""
        found: dict[str, tuple[str, ...]] = {}
        for name in (field.name for field in FIELDS if field.type in PICTURES):
            value = getattr(self, name)
            pictures = value if isinstance(value, tuple) else () if value is None else (value,)
            found[name] = tuple(content_hash(picture) for picture in pictures)
        return found

    @property
    def image_hash(self) -> str:
        """Hash of the first picture's content; empty without a picture."""
        return next(iter(self.hashes["image"]), "")

    @property
    def shown(self) -> tuple[Any, ...]:
        """All by which a unit has a say in keys and values, beside files: equal where these are; hashes of contents."""
        shown = [field for field in FIELDS if not field.late]
        pictures = [self.hashes[field.name] for field in shown if field.type in PICTURES]
        given = [(one.name, one.digest) if one else None for one in (self.face, self.embeds)]
        rest = [getattr(self, field.name) for field in shown if field.type not in (*PICTURES, *GIVEN)]
        return (*pictures, *given, *rest)

    @property
    def order(self) -> tuple[Any, ...]:
        """Units are summed in this order, so that the order they were given in cannot change a single bit."""
        given = tuple(one.label if one else "" for one in (self.face, self.embeds))
        picture = (*self.hashes.values(), *given)
        rest = tuple(getattr(self, f.name) for f in FIELDS if f.type in ORDERED)
        return (self.model or "", self.encoder or "", *picture, *rest)


TOPICS: Mapping[str, type] = {
    "": Everyday,
    "Several pictures": References,
    "How the picture is seen": Seen,
    "Where": Where,
    "Layers and steps": Layering,
    "Passes": PassFields,
    "Negative picture": Negative,
    "Saved image prompt": Saved,
    "Face (FaceID files)": Face,
}
"""Title in the page -> the class that has its fields, in their order. Only the first topic is not folded away."""

FIELDS = fields_of(Unit)

assert tuple(field for topic in TOPICS.values() for field in fields_of(topic)) == FIELDS
