"""Script arguments are parsed once for all batches and passes of a job, because pictures may be large."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui.api import parse_units


class ParsedUnits:
    """What the arguments of running jobs say. With a job go its pictures."""

    def __init__(self) -> None:
        self._known: list[tuple[weakref.ref[Any], list[Any], list[Unit]]] = []

    def __len__(self) -> int:
        return len(self._known)

    def of(self, job: Any, args: Sequence[Any]) -> list[Unit]:
        """The units in a job's arguments; a job inside another has the very same ones. Raises `UnitError`."""
        values = _values(args)
        for _, known, units in self._known:
            if len(known) == len(values) and all(a is b for a, b in zip(known, values, strict=True)):
                return units
        units = parse_units(args)
        others = [entry for entry in self._known if entry[0]() is not job]
        self._known = [*others, (weakref.ref(job, self._forget), values, units)]
        return units

    def _forget(self, job: weakref.ref[Any]) -> None:
        self._known = [entry for entry in self._known if entry[0] is not job]


def _values(args: Sequence[Any]) -> list[Any]:
    """What to compare by identity, as comparing pixel by pixel would cost more than it saves.

    Of unit objects what they hold, since another extension may change them in place.
    """
    flat: list[Any] = []
    for arg in args:
        flat += [*arg.keys(), *arg.values()] if isinstance(arg, Mapping) else [arg]
    return flat
