"""Axes for the WebUI's X/Y/Z plot: fields of each unit, and its reference picture by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from modules import scripts

from lib_ipadapter.errors import IPAdapterError, UnitError
from lib_ipadapter.hosts.a1111_folders import adapter_folders, reference_folder
from lib_ipadapter.session.naming import find
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Field, Type
from lib_ipadapter.webui import models, reference_files, settings
from lib_ipadapter.webui.arguments import arguments_of, field_of, set_arguments, with_field
from lib_ipadapter.webui.door import IPAdapterStopped

FILE = "xyz_grid.py"
"""The file of the WebUI's script; other extensions find it by that too."""

KINDS = {Type.NUMBER: float}
"""Type of a field -> type of an axis's values; others are words."""

SLOW = 0.5
"""Cost of another adapter: more than a prompt's, less than a checkpoint's. The dearest axis changes least often."""

DIGITS = 6
"""After the point, of a number on an axis."""

Read = Callable[[str], Any]

Check = Callable[[list[Any]], None]
"""Looks at all values of an axis, and may mend them. Raises `IPAdapterError`."""


def register() -> None:
    """Adds the axes to every X/Y/Z script that is loaded. Harmless when done again."""
    for module in _plots():
        known = {option.label for option in module.axis_options}
        module.axis_options.extend(option for option in _options(module) if option.label not in known)


def _plots() -> Iterator[ModuleType]:
    for script in scripts.scripts_data:
        if Path(script.path).name == FILE and hasattr(script.module, "axis_options"):
            yield script.module


def _options(module: ModuleType) -> Iterator[Any]:
    """Each unit's axes."""
    for number in range(1, settings.number_of_units() + 1):
        start = f"[IP-Adapter] Unit {number}"
        for field in (field for field in FIELDS if field.axis):
            yield module.AxisOption(
                f"{start} {field.label}",
                KINDS.get(field.type, str),
                _apply(number, field.name),
                confirm=_confirm(number, _checked(field)),
                cost=SLOW if field.type is Type.MODEL else 0.0,
                choices=_choices(field),
            )
        yield module.AxisOption(
            f"{start} Reference file",
            str,
            _apply(number, "image", lambda name: reference_files.read_reference(name, reference_folder())),
            confirm=_confirm(number, _each(lambda name: reference_files.find_reference(name, reference_folder()))),
            choices=lambda: reference_files.names(reference_folder()),
        )


def _choices(field: Field) -> Callable[[], list[str]] | None:
    if field.type is Type.MODEL:
        return _models
    return (lambda: list(field.choices)) if field.type is Type.CHOICE else None


def _models() -> list[str]:
    """Also those that do not fit the loaded checkpoint: another axis may change that."""
    return models.names(adapter_folders())


def _checked(field: Field) -> Check:
    if field.type is Type.MODEL:
        return _each(lambda name: find(name, adapter_folders()))
    return (lambda values: _numbers(field, values)) if field.type in KINDS else _each(field.parse)


def _each(check: Callable[[Any], Any]) -> Check:
    def checked(values: list[Any]) -> None:
        for value in values:
            check(value)

    return checked


def _numbers(field: Field, values: list[Any]) -> None:
    """A range such as ``0.2-1 (+0.1)`` is added up by the plot, to 1.0000000000000002, and may go one step too far.

    What somebody wrote has no such digits, and is refused where it is out of range.
    """
    near = [(value, round(value, DIGITS)) for value in values]
    values[:] = [rounded for value, rounded in near if rounded <= field.maximum or rounded == value]
    _each(field.parse)(values)


def _apply(number: int, name: str, read: Read = str) -> Callable[[Any, Any, Sequence[Any]], None]:
    """Sets a field for one cell. `read`: an axis's value -> the field's, where it is no number."""

    def apply(processing: Any, value: Any, _: Sequence[Any]) -> None:
        value = value if isinstance(value, (int, float)) else read(value)
        set_arguments(processing, with_field(arguments_of(processing), number, name, value))

    return apply


def _confirm(number: int, check: Check) -> Callable[[Any, list[Any]], None]:
    """Every value, before the first picture is made: what fails in a cell is only a grey square and a line in a log."""

    def confirm(processing: Any, values: list[Any]) -> None:
        try:
            enabled = field_of(arguments_of(processing), number, "enabled")
            if enabled is None or not Unit.parse({"enabled": enabled}).enabled:
                raise UnitError(
                    f"The IP-Adapter unit {number} of this grid's axis is off; enable it, or choose another."
                )
            check(values)
        except IPAdapterError as error:
            raise IPAdapterStopped(str(error), 422) from error

    return confirm
