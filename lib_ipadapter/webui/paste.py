"""Generation parameters that are pasted set the panel's components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gradio as gr

from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.field import GIVEN, PICTURES, Field, Type
from lib_ipadapter.session.unit.parsers import AUTOMATIC
from lib_ipadapter.session.unit.passes import REPLACED, Source
from lib_ipadapter.webui.controls import UnitControls
from lib_ipadapter.webui.lists import Lists
from lib_ipadapter.webui.models import NONE
from lib_ipadapter.webui.preview import MADE_WITH

Value = Callable[[Any], Any]
"""Parameters -> what a component is set to; None leaves it as it is."""

UNSAID = {Type.ENCODER: AUTOMATIC, Type.FOLDER: NONE}
"""The page's word for none, where that is what a field not mentioned becomes."""


def paste_fields(controls: Sequence[UnitControls], lists: Lists) -> list[tuple[Any, Value]]:
    """What the WebUI calls when generation parameters are pasted: (component, parameters -> value)."""

    def note(number: int, parameters: Any) -> str:
        _say_what_is_left_out(parameters, number, len(controls))
        return _note(infotext.read(parameters, number))

    pairs = [pair for number, unit in enumerate(controls, 1) for pair in _unit(unit, number, lists)]
    return [*pairs, *((unit.note, partial(note, number)) for number, unit in enumerate(controls, 1))]


def _unit(unit: UnitControls, number: int, lists: Lists) -> list[tuple[Any, Value]]:
    """A unit that the parameters do not mention is switched off, and otherwise left as it is."""

    def value_of(field: Field) -> Value:
        value = reading(field, lists)
        return lambda parameters: value(infotext.read(parameters, number))

    return [(unit.fields[field.name], value_of(field)) for field in FIELDS]


def reading(field: Field, lists: Lists) -> Callable[[dict[str, Any]], Any]:
    """What a field becomes by the values that an infotext has for its unit; these are empty where it was not active."""
    if field.name == "enabled":
        return bool
    if field.type in PICTURES:
        # Of one that is mentioned the text has the hash alone. One that is not would act in a picture made without.
        return lambda found: gr.update(value=None) if found and not found.get(field.name) else None
    match field.type:
        case Type.MODEL:
            return lambda found: _model(found.get(field.name), lists)
        case Type.FACE:
            return lambda found: _saved("face", found.get(field.name, NONE), lists.faces()) if found else None
        case Type.EMBEDS:
            return lambda found: _saved("image prompt", found.get(field.name, NONE), lists.prompts()) if found else None
        case _:
            unsaid = UNSAID.get(field.type, field.default if field.rare else None)
            return lambda found: found.get(field.name, unsaid) if found else None


def _model(wanted: str | None, lists: Lists) -> str | None:
    found = lists.resolve(wanted) if wanted else None
    if wanted and found is None:
        gr.Warning(f"IP-Adapter: there is no model {wanted!r} here; choose another one.")
    return found


def _saved(what: str, wanted: str, there: Sequence[str]) -> str:
    if wanted == NONE or wanted in there:
        return wanted
    gr.Warning(f"IP-Adapter: there is no saved {what} {wanted!r} here; choose another one.")
    return NONE


def _say_what_is_left_out(parameters: Any, number: int, units: int) -> None:
    """Parameters may be a stranger's, or of another version of this extension."""
    if strange := infotext.misread(parameters, number):
        gr.Warning(
            f"IP-Adapter: of the pasted unit {number}, {', '.join(strange)} cannot be taken as it stands here; a number"
            " out of range was clamped, everything else left out."
        )
    if number == units and (more := infotext.beyond(parameters, units)):
        gr.Warning(
            f"IP-Adapter: the pasted parameters have a unit {', '.join(map(str, more))}, for which the panel has no"
            " place; raise Settings > IP-Adapter > Number of units."
        )


def _note(found: dict[str, Any]) -> str:
    """What the infotext has only the hash of. Such are a stranger's words, so nothing but what is one is shown."""
    elsewhere = REPLACED[found.get("reference", Source.PICTURE.value)]
    given = [field for field in FIELDS if field.type in PICTURES and field.name not in elsewhere]
    lacking = {field.name: field.label.lower() for field in given}
    lacking |= {field.hash_key: f"{field.label.lower()} given as such" for field in FIELDS if field.type in GIVEN}
    wanted = [
        f"{what} {hashes}"
        for name, what in lacking.items()
        if (hashes := found.get(name, "")).replace(" ", "").isalnum()
    ]
    return f"{MADE_WITH}{', '.join(wanted)}: add what is missing" if wanted else ""
