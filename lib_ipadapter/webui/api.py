"""What a script's arguments say: unit objects from the API, or the page's components in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Type
from lib_ipadapter.session.unit.passes import REPLACED
from lib_ipadapter.webui.arguments import units_by_name
from lib_ipadapter.webui.decoding import DECODERS, Budget, is_empty, listed


def parse_units(args: Sequence[Any], resting: bool = False) -> list[Unit]:
    """All units in a script's arguments; with pictures also those that are `resting`, if asked. Raises `UnitError`.

    The API passes one object per unit, by name; where it passes fewer than the page has components, the WebUI fills
    up with the components' defaults, which are dropped here. The page passes every field of every unit in turn.
    """
    budget = Budget()
    if objects := units_by_name(args):
        given = [args[index] for index in objects]
    elif args and isinstance(args[0], str):
        raise UnitError(f"IP-Adapter: each argument must be a unit object, as {{'image': ...}}, got {args[0][:40]!r}.")
    else:
        given = [_by_name(args[i : i + len(FIELDS)]) for i in range(0, len(args), len(FIELDS))]
    several = len(given) > 1
    return [_parse(values, number if several else None, budget, resting) for number, values in enumerate(given, 1)]


def _parse(values: Mapping[str, Any], number: int | None, budget: Budget, resting: bool) -> Unit:
    """`parse_unit`; of several an error says which it is of."""
    try:
        return parse_unit(values, budget, resting)
    except UnitError as error:
        if number is None:
            raise
        raise UnitError(str(error).replace("IP-Adapter: ", f"IP-Adapter, unit {number}: ", 1)) from None


def _by_name(row: Sequence[Any]) -> dict[str, Any]:
    """One unit's values in the page's order; what a component left empty takes its default, and a unit starts off."""
    said = {field.name: value for field, value in zip(FIELDS, row, strict=False) if value is not None}
    return {"enabled": False, **said}


def parse_unit(values: Mapping[str, Any], budget: Budget | None = None, resting: bool = False) -> Unit:
    """A unit from field name -> value, pictures decoded; of one that cannot act, only if `resting`.

    `budget`: that of the request, where the unit is not alone in it.
    """
    budget = budget or Budget()
    decode = {f.name: DECODERS[f.type] for f in FIELDS if f.type in DECODERS}
    if not (resting or Unit.parse({k: v for k, v in values.items() if k == "enabled"}).enabled):
        return Unit(enabled=False)  # whatever else it says: a text that is half written stops nobody
    without_pictures = Unit.parse({k: v for k, v in values.items() if k not in decode})
    if not (without_pictures.active or resting):
        return without_pictures
    decoded = {k: decode[k](v, k, budget) if k in decode else v for k, v in values.items()}
    own = {} if without_pictures.weights else _weights(values, without_pictures.reference)
    return Unit.parse({**decoded, **own})


def _weights(values: Mapping[str, Any], reference: str) -> dict[str, Any]:
    """What further pictures say of their own weights, after that of the first; `weights` beside them counts more."""
    names = [field.name for field in FIELDS if field.type is Type.PICTURES]
    pictures = [one for name in names for one in listed(values.get(name), name)]
    if not any(isinstance(one, Mapping) and "weight" in one for one in pictures):
        return {}
    elsewhere = REPLACED[reference]
    if "images" in elsewhere:
        return {}
    first = [] if "image" not in elsewhere and is_empty(values.get("image")) else [1.0]
    return {"weights": first + [one.get("weight", 1.0) if isinstance(one, Mapping) else 1.0 for one in pictures]}
