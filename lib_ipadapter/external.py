"""For other extensions: the IP-Adapter units of a processing object, read and set. See docs/for-extensions.md.

What is here keeps its names and its meaning; everything else in this package may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lib_ipadapter.errors import IPAdapterError, UnitError
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.webui.api import parse_units
from lib_ipadapter.webui.arguments import arguments_of, set_arguments

__all__ = ["IPAdapterError", "Unit", "get_units", "set_units"]


def get_units(processing: Any) -> list[Unit]:
    """The units of a job as its page or its API request set them, disabled ones too. Set back, they change nothing.

    Raises `IPAdapterError`, with a sentence, for values that no unit may have, or where our script takes no part.
    """
    return parse_units(arguments_of(processing), resting=True)


def set_units(processing: Any, units: Sequence[Unit]) -> None:
    """Lets a job be made with these units and no others, this time and whenever `processing` is processed again.

    img2img's Batch tab and Loopback do that: there `get_units` gives what was set the last time.
    Before our script's ``process``, so at the latest in ``before_process`` of yours: the generation parameters are
    written then. Raises `IPAdapterError` where our script takes no part, or has room for fewer units.
    """
    room = len(arguments_of(processing))
    if len(units) > room:
        raise UnitError(f"There is room for {room} IP-Adapter units in a request, got {len(units)}; give fewer.")
    given = [{field.name: getattr(unit, field.name) for field in FIELDS} for unit in units]
    set_arguments(processing, [*given, *[None] * (room - len(given))])
