"""Whole numbers and words of a unit's fields, in whatever form a page or an API brings them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lib_ipadapter.errors import UnitError

if TYPE_CHECKING:
    from lib_ipadapter.session.unit import Field


def parse_integer(about: Field, value: Any) -> int:
    """A whole number in the field's range; 2.0 and "2" are whole numbers too. Raises `UnitError`."""
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not (about.minimum <= number <= about.maximum and number.is_integer()):
        raise UnitError(
            f"IP-Adapter: {about.name} must be a whole number from {about.minimum:g} to {about.maximum:g},"
            f" got {repr(value)[:40]}."
        )
    return int(number)


def parse_choice(about: Field, value: Any) -> str:
    """One of the field's words, upper or lower case. Raises `UnitError`."""
    found = value.strip().lower() if isinstance(value, str) else ""
    if found not in about.choices:
        raise UnitError(f"IP-Adapter: {about.name} must be one of {', '.join(about.choices)}; got {repr(value)[:40]}.")
    return found
