"""Axes for the WebUI's X/Y/Z plot: fields of each unit, and its reference picture by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from modules import scripts

from lib_ipadapter.errors import IPAdapterError, UnitError
from lib_ipadapter.hosts.a1111 import adapter_folders, loaded_unet
from lib_ipadapter.session.files import find
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Field, Type
from lib_ipadapter.webui import models, reference_files, settings
from lib_ipadapter.webui.arguments import arguments_of, field_of, set_arguments, with_field
from lib_ipadapter.webui.door import IPAdapterStopped

FILE = "xyz_grid.py"
"""The file of the WebUI's script; other extensions find it by that too."""

KINDS = {Type.NUMBER: float, Type.INTEGER: int}
"""Type of a field -> type of an axis's values; others are words."""

SLOW = 0.5
"""Cost of another adapter: more than a prompt's, less than a checkpoint's. The dearest axis changes least often."""

Read = Callable[[str], Any]


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
            check = _model if field.type is Type.MODEL else field.parse
            yield module.AxisOption(
                f"{start} {field.label}",
                KINDS.get(field.type, str),
                _apply(number, field.name),
                confirm=_confirm(number, check),
                cost=SLOW if field.type is Type.MODEL else 0.0,
                choices=_choices(field),
            )
        yield module.AxisOption(
            f"{start} Reference file",
            str,
            _apply(number, "image", lambda name: reference_files.read_reference(name, settings.reference_folder())),
            confirm=_confirm(number, lambda name: reference_files.find_reference(name, settings.reference_folder())),
            choices=lambda: reference_files.names(settings.reference_folder()),
        )


def _choices(field: Field) -> Callable[[], list[str]] | None:
    if field.type is Type.MODEL:
        return _models
    return (lambda: list(field.choices)) if field.type is Type.CHOICE else None


def _models() -> list[str]:
    """Also those that do not fit the loaded checkpoint: another axis may change that."""
    folders = adapter_folders()
    entries = [entry for entry in models.choices(folders, loaded_unet()) if entry != models.NONE]
    return [models.bare_name(entry, folders) for entry in entries]


def _model(name: str) -> None:
    find(name, adapter_folders())


def _apply(number: int, name: str, read: Read = str) -> Callable[[Any, Any, Sequence[Any]], None]:
    """Sets a field for one cell. `read`: an axis's value -> the field's, where it is no number."""

    def apply(processing: Any, value: Any, _: Sequence[Any]) -> None:
        value = value if isinstance(value, (int, float)) else read(value)
        set_arguments(processing, with_field(arguments_of(processing), number, name, value))

    return apply


def _confirm(number: int, check: Callable[[Any], Any]) -> Callable[[Any, Sequence[Any]], None]:
    """Every value, before the first picture is made: what fails in a cell is only a grey square and a line in a log."""

    def confirm(processing: Any, values: Sequence[Any]) -> None:
        try:
            enabled = field_of(arguments_of(processing), number, "enabled")
            if enabled is None or not Unit.parse({"enabled": enabled}).enabled:
                raise UnitError(
                    f"The IP-Adapter unit {number} of this grid's axis is off; enable it, or choose another."
                )
            for value in values:
                check(value)
        except IPAdapterError as error:
            raise IPAdapterStopped(str(error), 422) from error

    return confirm
