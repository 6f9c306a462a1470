"""Generation parameters that are pasted set the panel's components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.field import Field, Type
from lib_ipadapter.session.unit.parsers import AUTOMATIC
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.controls import Lists, UnitControls
from lib_ipadapter.webui.models import NONE

Value = Callable[[Any], Any]
"""Parameters -> what a component is set to; None leaves it as it is."""


def paste_fields(controls: Sequence[UnitControls], lists: Lists) -> list[tuple[Any, Value]]:
    """What the WebUI calls when generation parameters are pasted: (component, parameters -> value)."""
    return [pair for number, unit in enumerate(controls, 1) for pair in _unit(unit, number, lists)]


def _unit(unit: UnitControls, number: int, lists: Lists) -> list[tuple[Any, Value]]:
    """A unit that the parameters do not mention is switched off, and otherwise left as it is."""

    def value_of(field: Field) -> Value:
        reading = _reading(field, lists)
        return lambda parameters: reading(infotext.read(parameters, number))

    pasted = [field for field in FIELDS if field.type is not Type.PICTURE]
    fields = [(unit.fields[field.name], value_of(field)) for field in pasted]
    return [*fields, (unit.note, lambda parameters: _note(infotext.read(parameters, number)))]


def _reading(field: Field, lists: Lists) -> Callable[[dict[str, Any]], Any]:
    """What a field becomes by the values that an infotext has for its unit; these are empty where it was not active."""
    if field.name == "enabled":
        return bool
    match field.type:
        case Type.MODEL:
            return lambda found: _model(found.get(field.name), lists)
        case Type.FACE:
            return lambda found: _face(found.get(field.name, NONE), lists) if found else None
        case _:
            unsaid = AUTOMATIC if field.type is Type.ENCODER else field.default if field.rare else None
            return lambda found: found.get(field.name, unsaid) if found else None


def _model(wanted: str | None, lists: Lists) -> str | None:
    found = lists.resolve(wanted) if wanted else None
    if wanted and found is None:
        compat.warn(f"IP-Adapter: there is no model {wanted!r} here; choose another one.")
    return found


def _face(wanted: str, lists: Lists) -> str:
    if wanted == NONE or wanted in lists.faces():
        return wanted
    compat.warn(f"IP-Adapter: there is no saved face {wanted!r} here; choose another one.")
    return NONE


def _note(found: dict[str, Any]) -> str:
    """What the infotext has only the hash of: nothing but letters and digits of it reaches the page."""
    return "<br>".join(
        says.format(wanted) for name, says in LACKING.items() if (wanted := found.get(name)) and wanted.isalnum()
    )


LACKING = {
    "image": "Made with picture {}: add it here",
    infotext.FACE_HASH: "Made with a face given as numbers ({}): add it again",
}
"""Entry of the infotext -> what the note says of it."""
