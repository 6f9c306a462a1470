"""The fields of a unit, in whatever form a page or an API brings them; `UnitError` says what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageColor

from lib_ipadapter.errors import UnitError, reason
from lib_ipadapter.model.picture import as_mask, decoded
from lib_ipadapter.session.faces import GivenFace
from lib_ipadapter.session.prompts import GivenPrompt
from lib_ipadapter.session.unit import notation

if TYPE_CHECKING:
    from lib_ipadapter.session.unit.field import Field

MAX_PICTURES = 64
"""Beside the first."""

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
    words = {choice.lower(): choice for choice in about.choices}
    found = words.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise UnitError(f"IP-Adapter: {about.name} must be one of {', '.join(about.choices)}; got {_shown(value)}.")
    return found


def parse_name(about: Field, value: Any) -> str | None:
    """A name, or nothing for the page's words for no choice."""
    if value is None or value in ("", "None", AUTOMATIC):
        return None
    if not isinstance(value, str):
        raise UnitError(f"IP-Adapter: {about.name} must be {about.type.value}, got {_shown(value)}.")
    return value


def parse_folder(about: Field, value: Any) -> str | None:
    """One folder's name, which leads nowhere else: no path, and no folder that a dot hides."""
    name = parse_name(about, value)
    if name and (name.startswith(".") or any(sign in name for sign in "/\\:\0")):
        raise UnitError(f"IP-Adapter: {about.name} must be {about.type.value}, not a path; got {_shown(name)}.")
    return name


def parse_picture(about: Field, value: Any) -> Image.Image | None:
    """A decoded picture; what is transparent stays so, because its background is said elsewhere."""
    return _decoded(about, value, decoded)


def parse_mask(about: Field, value: Any) -> Image.Image | None:
    """A decoded picture as greyscale, see `as_mask`."""
    return _decoded(about, value, as_mask)


def _decoded(about: Field, value: Any, convert: Callable[[Image.Image], Image.Image]) -> Image.Image | None:
    if value is not None and not isinstance(value, Image.Image):
        raise UnitError(f"IP-Adapter: {about.name} must be a picture, got {_shown(value)}.")
    try:
        return convert(value) if value is not None else None
    except Exception as error:  # Pillow opens files lazily, and each format fails in a way of its own
        raise UnitError(
            f"IP-Adapter: the {about.label.lower()} cannot be read ({reason(error)}); save it as PNG and give it again."
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


def parse_curve(about: Field, value: Any) -> str:
    """Points over the steps, brackets as in a prompt, or one number; from an API also a mapping or a list of pairs."""
    return _parse_text(about, value, notation.read_curve, notation.points_of)


def parse_layers(about: Field, value: Any) -> str:
    """A scale by layer, as text, mapping or whole list."""
    return _parse_text(about, value, notation.read_layers)


def parse_grid(about: Field, value: Any) -> str:
    """Rows of factors, as text or a list of lists."""
    return _parse_text(about, value, notation.read_grid)


def _parse_text(
    about: Field, value: Any, read: Callable[[str], object], prepare: Callable[[Any], Any] = lambda value: value
) -> str:
    """As text that `read` understands, so that page, infotext and API speak the same."""
    try:
        text = notation.text_of(prepare(value))
        read(text)
    except ValueError as error:
        raise UnitError(f"IP-Adapter: {about.name} must be {about.type.value}; {error}; got {_shown(value)}.") from None
    return text


def parse_pictures(about: Field, value: Any) -> tuple[Image.Image, ...]:
    """Decoded pictures."""
    if value is None or value == "":
        return ()
    if not isinstance(value, (list, tuple)):
        raise UnitError(f"IP-Adapter: {about.name} must be {about.type.value}, got {_shown(value)}.")
    check_count(about.name, len(value))
    found = [parse_picture(about, one) for one in value]
    return tuple(one for one in found if one is not None)


def check_count(name: str, pictures: int) -> None:
    """Raises `UnitError` where the field called `name` has more pictures than one may."""
    if pictures > MAX_PICTURES:
        raise UnitError(f"IP-Adapter: {name} has {pictures} pictures; the limit is {MAX_PICTURES}.")


def parse_weights(about: Field, value: Any) -> str:
    """A list of numbers, or a text that has them between spaces or commas, as a text with spaces."""
    if value is None:
        return ""
    given = value.replace(",", " ").replace(";", " ").split() if isinstance(value, str) else value
    if not isinstance(given, (list, tuple)) or len(given) > MAX_PICTURES + 1:
        raise UnitError(f"IP-Adapter: {about.name} must be {about.type.value}, as 1 0.5, got {_shown(value)}.")
    return " ".join(f"{parse_number(about, one):g}" for one in given)


def parse_embeds(_: Field, value: Any) -> GivenPrompt | None:
    """The name of a saved prompt, or a file's content."""
    return GivenPrompt.parse(value)


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


def _shown(value: Any) -> str:
    """A value for a message, short whatever it is."""
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
