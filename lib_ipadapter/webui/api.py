"""What a script's arguments say: unit objects from the API, or the page's components in order."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Type

MAX_ENCODED = 64 << 20
"""Characters of base64; a 45 MB file. Larger ones are refused before they are decoded."""

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header, before their pixels are decoded."""


FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow knows many more, of which some start other programs (EPS)."""


def parse_units(args: Sequence[Any]) -> list[Unit]:
    """All units in a script's arguments. Raises `UnitError`.

    The API passes one object per unit, by name; where it passes fewer than the page has components, the WebUI fills
    up with the components' defaults, which are dropped here. The page passes every field of every unit in turn.
    """
    if objects := [arg for arg in args if isinstance(arg, Mapping)]:
        return [parse_unit(values) for values in objects]
    if args and isinstance(args[0], str):
        raise UnitError(f"IP-Adapter: each argument must be a unit object, as {{'image': ...}}, got {args[0][:40]!r}.")
    return [parse_unit(_by_name(args[i : i + len(FIELDS)])) for i in range(0, len(args), len(FIELDS))]


def _by_name(row: Sequence[Any]) -> dict[str, Any]:
    """One unit's values in the page's order; what a component left empty takes its default, and a unit starts off."""
    said = {field.name: value for field, value in zip(FIELDS, row, strict=False) if value is not None}
    return {"enabled": False, **said}


def parse_unit(values: Mapping[str, Any]) -> Unit:
    """A unit from field name -> value, pictures decoded. A disabled unit's picture is not looked at."""
    pictures = {f.name for f in FIELDS if f.type is Type.PICTURE}
    enabled = Unit.parse({k: v for k, v in values.items() if k not in pictures})
    if not enabled.active:
        return enabled
    return Unit.parse({k: decode_picture(v) if k in pictures else v for k, v in values.items()})


def decode_picture(value: Any) -> Image.Image | None:
    """A picture from the page (PIL or array) or the API (base64, bare or as a data URI). Raises `UnitError`.

    A path or an address is never opened: whoever may call the API may not therefore read this machine's files.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, Image.Image):
        return value
    if isinstance(value, np.ndarray):
        return Image.fromarray(value)
    if not isinstance(value, str):
        raise UnitError(f"IP-Adapter: image must be a picture in base64, got {type(value).__name__}.")
    return read_picture(_from_base64(value))


def _from_base64(text: str) -> bytes:
    if len(text) > MAX_ENCODED:
        raise UnitError(f"IP-Adapter: image has {len(text) >> 20} MB of base64; the limit is {MAX_ENCODED >> 20} MB.")
    body = "".join(text.split(",", 1)[-1].split() if text.startswith("data:") else text.split())
    body = body.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnitError(
            "IP-Adapter: image must be a picture in base64, bare or as a data URI (not a path or an address);"
            f" got {text[:24]!r}."
        ) from None


def read_picture(data: bytes) -> Image.Image:
    """A picture from a file's content. Raises `UnitError` for what is none, and for what is too large."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception:  # each of Pillow's formats fails in a way of its own
        raise UnitError(
            "IP-Adapter: image is not a picture that can be read;"
            " send the content of a PNG, JPEG or WebP in base64, not a path."
        ) from None
    if image.width * image.height > MAX_PIXELS:
        raise UnitError(
            f"IP-Adapter: image is {image.width} x {image.height}; the limit is {MAX_PIXELS // 1_000_000} megapixels."
        )
    try:
        image.load()
    except Exception:
        raise UnitError("IP-Adapter: image is cut short or damaged; send it again.") from None
    return image
