"""The fields of a unit, in whatever form a page or an API brings them; `UnitError` says what was expected."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageColor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import decoded
from lib_ipadapter.session.faces import GivenFace

if TYPE_CHECKING:
    from lib_ipadapter.session.unit.field import Field

AUTOMATIC = "Automatic"
"""The page's word for the encoder that fits."""

LONGEST_COLOUR = 64

RGB = re.compile(r"rgba?\(\s*(\d+(?:\.\d*)?)\s*,\s*(\d+(?:\.\d*)?)\s*,\s*(\d+(?:\.\d*)?)\s*(?:,[\s\d.]*)?\)")


def parse_switch(about: Field, value: Any) -> bool:
    """A truth, as a word or a number too."""
    words = {"true": True, "1": True, "false": False, "0": False}
    found = words.get(str(value).lower())
    if found is None:
        raise UnitError(f"IP-Adapter: {about.name} must be true or false, got {_shown(value)}.")
    return found


def parse_number(about: Field, value: Any) -> float:
    """A number in the field's range."""
    number = _float(value)
    if not about.minimum <= number <= about.maximum:
        raise _out_of_range(about, value)
    return number


def parse_integer(about: Field, value: Any) -> int:
    """A whole number in the field's range; 2.0 and "2" are whole numbers too."""
    number = _float(value)
    if not (about.minimum <= number <= about.maximum and number.is_integer()):
        raise _out_of_range(about, value)
    return int(number)


def parse_choice(about: Field, value: Any) -> str:
    """One of the field's words, upper or lower case."""
    found = value.strip().lower() if isinstance(value, str) else ""
    if found not in about.choices:
        raise UnitError(f"IP-Adapter: {about.name} must be one of {', '.join(about.choices)}; got {_shown(value)}.")
    return found


def parse_name(about: Field, value: Any) -> str | None:
    """A name, or nothing for the page's words for no choice."""
    if value is None or value in ("", "None", AUTOMATIC):
        return None
    if not isinstance(value, str):
        raise UnitError(f"IP-Adapter: {about.name} must be {about.type.value}, got {_shown(value)}.")
    return value


def parse_picture(about: Field, value: Any) -> Image.Image | None:
    """A decoded picture; what is transparent stays so, because its background is said elsewhere."""
    if value is not None and not isinstance(value, Image.Image):
        raise UnitError(f"IP-Adapter: {about.name} must be a picture, got {_shown(value)}.")
    try:
        return decoded(value) if value is not None else None
    except Exception as error:  # Pillow opens files lazily, and each format fails in a way of its own
        raise UnitError(
            f"IP-Adapter: the {about.label.lower()} cannot be read ({_first_line(error)});"
            " save it as PNG and give it again."
        ) from error


def parse_colour(about: Field, value: Any) -> str:
    """A colour's name, ``#rgb``, ``#rrggbb`` or ``rgb(...)`` -> ``#rrggbb``. Pickers of newer pages say ``rgba``."""
    text = value.strip() if isinstance(value, str) and len(value) <= LONGEST_COLOUR else ""
    if numbers := RGB.fullmatch(text):
        parts = [round(float(part)) for part in numbers.groups()]
    else:
        try:
            parts = list(ImageColor.getrgb(text))
        except ValueError:
            parts = []
    if not parts or max(parts) > 255:
        raise UnitError(f"IP-Adapter: {about.name} must be a colour, as #ffffff or white; got {_shown(value)}.")
    return "#{:02x}{:02x}{:02x}".format(*parts)


def parse_face(_: Field, value: Any) -> GivenFace | None:
    """Numbers, or the name of a saved face."""
    return GivenFace.parse(value)


def _float(value: Any) -> float:
    """Not a number for what is none, which is in no range."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _out_of_range(about: Field, value: Any) -> UnitError:
    return UnitError(
        f"IP-Adapter: {about.name} must be {about.type.value} from {about.minimum:g} to {about.maximum:g},"
        f" got {_shown(value)}."
    )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _shown(value: Any) -> str:
    """A value for a message, short whatever it is."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
