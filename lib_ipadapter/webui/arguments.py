"""Our units among the arguments that a processing object holds for all scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib_ipadapter.errors import HostError, UnitError
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.webui.drawing import is_drawing

TITLE = "IP-Adapter"
"""The script's, by which the API and other extensions know it."""


def arguments_of(processing: Any) -> list[Any]:
    """Those of our script, as the page or the API gave them. Raises `HostError` where it takes no part in the job."""
    begin, end = _place(processing)
    return list(processing.script_args[begin:end])


def set_arguments(processing: Any, arguments: Sequence[Any]) -> None:
    """In place of `arguments_of`; as many. Other scripts keep theirs, and so do copies of the processing object."""
    begin, end = _place(processing)
    args = list(processing.script_args)
    assert len(arguments) == len(args[begin:end]), "arguments of other scripts would move"
    args[begin:end] = arguments
    processing.script_args = type(processing.script_args)(args)


def field_of(arguments: Sequence[Any], number: int, name: str) -> Any:
    """The value of a field of unit `number`, 1 and up; None where a page leaves it open. Raises `UnitError`."""
    if objects := units_by_name(arguments):
        default = next(field.default for field in FIELDS if field.name == name)
        return arguments[_chosen(objects, number)].get(name, default)
    return arguments[_position(arguments, number, name)]


def with_field(arguments: Sequence[Any], number: int, name: str, value: Any) -> list[Any]:
    """`arguments` with another value for one field of unit `number`, 1 and up. Raises `UnitError`."""
    changed = list(arguments)
    if objects := units_by_name(arguments):
        index = _chosen(objects, number)
        changed[index] = {**arguments[index], name: value}
    else:
        changed[_position(arguments, number, name)] = value
    return changed


def units_by_name(arguments: Sequence[Any]) -> list[int]:
    """Where the API has put units as objects; the page puts none, and what it has of mappings are drawn masks."""
    return [i for i, argument in enumerate(arguments) if isinstance(argument, Mapping) and not is_drawing(argument)]


def _place(processing: Any) -> tuple[int, int]:
    scripts = getattr(getattr(processing, "scripts", None), "alwayson_scripts", ())
    own = next((script for script in scripts if script.title() == TITLE), None)
    args = getattr(processing, "script_args", None)
    if own is None or not isinstance(args, (list, tuple)):
        raise HostError(
            f"The script {TITLE} takes no part in this job; give its processing object the WebUI's scripts."
        )
    return own.args_from, min(own.args_to, len(args))


def _chosen(objects: Sequence[int], number: int) -> int:
    if number > len(objects):
        raise _missing(number, len(objects))
    return objects[number - 1]


def _position(arguments: Sequence[Any], number: int, name: str) -> int:
    if number * len(FIELDS) > len(arguments):
        raise _missing(number, len(arguments) // len(FIELDS))
    return (number - 1) * len(FIELDS) + [field.name for field in FIELDS].index(name)


def _missing(number: int, there: int) -> UnitError:
    return UnitError(f"There is no IP-Adapter unit {number}: this job has {there}; choose 1 to {there}.")
