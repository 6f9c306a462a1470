"""Pictures as a page or a request brings them -> PIL. No path and no address is opened, and sizes are bounded."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit.field import Type
from lib_ipadapter.session.unit.parsers import check_count
from lib_ipadapter.webui.drawing import mask_of

MAX_ENCODED = 64 << 20
"""Characters of base64; a 45 MB file. Larger ones are refused before they are decoded."""

MAX_PIXELS = 64_000_000
"""Larger pictures are refused from their header, before their pixels are decoded."""

MOST = f"the limit is {MAX_PIXELS // 1_000_000} megapixels"

MOST_PIXELS = 4 * MAX_PIXELS
"""Of all pictures of a request: 768 MB decoded. A few kilobytes of base64 can stand for each of them."""

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
"""Pillow knows many more, of which some start other programs (EPS)."""


@dataclass
class Budget:
    """Pixels that one request may still have decoded."""

    left: int = field(default_factory=lambda: MOST_PIXELS)

    def take(self, image: Image.Image, name: str) -> None:
        """Raises `UnitError` where there are too few left for a picture of which only the header was read."""
        self.left -= image.width * image.height
        if self.left < 0:
            raise UnitError(
                f"IP-Adapter: with {name}, {image.width} x {image.height}, the pictures of this request have more than"
                f" {MOST_PIXELS // 1_000_000} megapixels together; send fewer, or smaller ones."
            )


def decode_pictures(value: Any, name: str = "images", budget: Budget | None = None) -> list[Image.Image | None]:
    """A list of what `decode_picture` takes, or of objects ``{"image": ..., "weight": ...}``; one alone is a list too.

    What is empty is left out. Raises `UnitError`.
    """
    return [decode_picture(_picture_in(one), name, budget) for one in listed(value, name)]


def decode_picture(value: Any, name: str = "image", budget: Budget | None = None) -> Image.Image | None:
    """A picture from the page (PIL, array or a file's content) or the API (base64, bare or as a data URI).

    Raises `UnitError`.

    A path or an address is never opened: whoever may call the API may not therefore read this machine's files.
    `name`: the field's, for messages.
    """
    if is_empty(value):
        return None
    if isinstance(value, Image.Image):
        return value
    if isinstance(value, np.ndarray):
        return Image.fromarray(value)
    if isinstance(value, bytes):
        return open_picture(value, name, budget)
    if not isinstance(value, str):
        raise UnitError(f"IP-Adapter: {name} must be a picture in base64, got {type(value).__name__}.")
    return open_picture(_from_base64(value, name), name, budget)


DECODERS: Mapping[Type, Callable[[Any, str, Budget], Any]] = {
    Type.PICTURE: decode_picture,
    Type.PICTURES: decode_pictures,
    Type.MASK: lambda value, name, budget: decode_picture(mask_of(value), name, budget),
}
"""By type of field; each takes the value, the field's name for messages, and the request's budget."""


def listed(value: Any, name: str) -> list[Any]:
    """One or several as a list without what is empty: a weight is for a picture that there is. Raises `UnitError`."""
    if is_empty(value):
        return []
    found = list(value) if isinstance(value, (list, tuple)) else [value]
    check_count(name, len(found))
    for one in found:
        if isinstance(one, Mapping) and (unknown := sorted(set(one) - {"image", "weight"}, key=str)):
            raise UnitError(f"IP-Adapter: a picture of {name} has no {unknown[0]!r}; it has image and weight.")
    return [one for one in found if not is_empty(_picture_in(one))]


def _picture_in(one: Any) -> Any:
    return one.get("image") if isinstance(one, Mapping) else one


def is_empty(value: Any) -> bool:
    """Whether no picture was given."""
    return value is None or (isinstance(value, str) and not value.strip())


def _from_base64(text: str, name: str) -> bytes:
    if len(text) > MAX_ENCODED:
        raise UnitError(f"IP-Adapter: {name} has {len(text) >> 20} MB of base64; the limit is {MAX_ENCODED >> 20} MB.")
    begins = text.lstrip()[:5].lower()
    body = "".join((text.split(",", 1)[-1] if begins == "data:" else text).split())
    body = body.replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnitError(
            f"IP-Adapter: {name} must be a picture in base64, bare or as a data URI (not a path or an address);"
            f" got {text[:24]!r}."
        ) from None


SEND = "send the content of a PNG, JPEG or WebP in base64, not a path"


def open_picture(
    data: bytes,
    name: str = "image",
    budget: Budget | None = None,
    *,
    longest: int | None = None,
    advice: str = SEND,
) -> Image.Image:
    """A picture from the content of its file, if that is of a known format and not too large. Raises `UnitError`.

    `longest`: pixels of its longer side that are enough; a JPEG is then read smaller, many times as fast.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:  # Pillow's own limit comes first, and says no size
        raise UnitError(f"IP-Adapter: {name} is too large; {MOST}.") from None
    except Exception:  # each of Pillow's formats fails in a way of its own
        raise UnitError(f"IP-Adapter: {name} is not a picture that can be read; {advice}.") from None
    if image.width * image.height > MAX_PIXELS:
        raise UnitError(f"IP-Adapter: {name} is {image.width} x {image.height}; {MOST}.")
    if budget:
        budget.take(image, name)
    try:
        if longest:
            image.draft(None, (longest, longest))
        image.load()
    except Exception:
        raise UnitError(f"IP-Adapter: {name} is cut short or damaged; get it again.") from None
    return image
