"""One unit: a reference picture, an adapter, and how they act. `FIELDS` is the only list of what a unit has.

The page, the API, the infotext and the documentation are all made from it. Each topic has a file here, and a panel of
its own in the page (`TOPICS`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session.unit.everyday import Everyday
from lib_ipadapter.session.unit.face import Face
from lib_ipadapter.session.unit.field import Type, fields_of
from lib_ipadapter.session.unit.seen import Seen

NO_PICTURE = "An IP-Adapter unit is enabled without a reference picture; add one or disable the unit."

ORDERED = (Type.NUMBER, Type.INTEGER, Type.CHOICE, Type.COLOUR)
"""Types of fields that can be sorted."""


@dataclass(frozen=True)
class Unit(Face, Seen, Everyday):  # dataclasses count from the right
    """A unit as the user set it; see `FIELDS` for what each attribute means."""

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

    @cached_property
    def seen_key(self) -> str:
        """Equal for units that see the same; empty without a picture."""
        return self.look.key(self.image) if self.image is not None else ""

    @property
    def order(self) -> tuple[Any, ...]:
        """Units are summed in this order, so that the order they were given in cannot change a single bit."""
        picture = (self.seen_key, self.face.label if self.face else "")
        # Of the mask once more: it has no part in `seen_key` without a picture.
        mask = content_hash(self.image_mask) if self.image_mask is not None else ""
        rest = tuple(getattr(self, f.name) for f in FIELDS if f.type in ORDERED)
        return (self.model or "", self.encoder or "", *picture, mask, *rest)


TOPICS: Mapping[str, type] = {"": Everyday, "How the picture is seen": Seen, "Face (FaceID files)": Face}
"""Title in the page -> the class that has its fields, in their order. Only the first topic is not folded away."""

FIELDS = fields_of(Unit)

assert tuple(field for topic in TOPICS.values() for field in fields_of(topic)) == FIELDS
