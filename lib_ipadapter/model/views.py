"""How a picture is seen: the squares that the image encoder is given for it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

import numpy as np
from PIL import Image, ImageChops

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import (
    WHITE,
    Colour,
    PixelBox,
    as_rgb,
    decoded,
    scaled_to,
    square,
    window,
)

MOST_TILES = 8
"""Of a picture that is longer than so many squares the ends are left out: each tile is a pass of the encoder."""


class Crop(str, Enum):
    """How a picture that is no square becomes one, or several."""

    CENTER = "center"
    """The square in its middle, as the adapters were trained."""
    TOP = "top"
    """Of a tall picture the upper end, where a portrait has its face; of a wide one the middle."""
    SQUASH = "squash"
    """All of it, its sides made equal."""
    PAD = "pad"
    """All of it in its own proportions, on the background."""
    TILES = "tiles"
    """All of it in as few squares as cover it, of equal distance; their image tokens stand one after the other."""


@dataclass(frozen=True)
class Look:
    """How a picture is seen."""

    crop: Crop = Crop.CENTER
    background: Colour = WHITE
    """Behind transparent and masked parts, and around a padded picture."""
    sharpening: float = 0.0
    """0 to 1; see `sharpened`."""
    mask: Image.Image | None = field(default=None, repr=False)
    """Greyscale, white where to look, black where not; of any size, stretched over the picture.

    What is masked gets the background's colour before the encoder sees it. To leave out image tokens instead would
    hide less: each of the encoder's hidden states has seen the whole picture, and a base adapter has but one.
    """


def views(image: Image.Image, look: Look, size: int = 224) -> list[Image.Image]:
    """What the encoder is given for `image`: square RGB pictures, `size` wide; one, or several for tiles.

    Raises `UnitError` where the mask leaves nothing to see.
    """
    keep = kept(image, look.mask) if look.mask is not None else None
    rgb = as_rgb(masked(image, look.mask) if look.mask is not None else image, look.background)
    match look.crop:
        case Crop.CENTER | Crop.TOP:
            squares = [square(rgb, size, keep, top=look.crop is Crop.TOP)]
        case Crop.SQUASH:
            squares = [rgb.resize((size, size), Image.Resampling.BICUBIC)]
        case Crop.PAD:
            squares = [padded(rgb, size, look.background)]
        case Crop.TILES:
            squares = tiles(rgb, size, keep)
    return [sharpened(one, look.sharpening) for one in squares]


def masked(image: Image.Image, mask: Image.Image) -> Image.Image:
    """`image` with what the greyscale `mask` hides made transparent, RGBA."""
    rgba = decoded(image).convert("RGBA")
    shown = mask.resize(rgba.size, Image.Resampling.BILINEAR)
    rgba.putalpha(ImageChops.multiply(rgba.getchannel("A"), shown))
    return rgba


def kept(image: Image.Image, mask: Image.Image) -> PixelBox:
    """What of `image` a crop should keep: the bounds of what `mask` shows at least half of. Raises `UnitError`."""
    shown = mask.resize(decoded(image).size, Image.Resampling.BILINEAR)
    box = shown.point([0] * 128 + [255] * 128).getbbox() or shown.getbbox()
    if box is None:
        raise UnitError("The mask on the reference picture hides all of it; make white what is to be looked at.")
    return box


def padded(rgb: Image.Image, size: int, background: Colour) -> Image.Image:
    """All of `rgb`, its long side `size`, in the middle of a square."""
    width, height = (max(1, round(side * size / max(rgb.size))) for side in rgb.size)
    canvas = Image.new("RGB", (size, size), background)
    canvas.paste(rgb.resize((width, height), Image.Resampling.BICUBIC), ((size - width) // 2, (size - height) // 2))
    return canvas


def tiles(rgb: Image.Image, size: int, keep: PixelBox | None = None) -> list[Image.Image]:
    """Squares that cover `rgb` from its beginning to its end, or what they show of `keep`."""
    scaled, keep = scaled_to(rgb, size, MOST_TILES, keep)
    along = 0 if scaled.width > scaled.height else 1
    length = scaled.size[along]
    count = math.ceil(length / size)
    starts = [round(i * (length - size) / max(count - 1, 1)) for i in range(count)]
    boxes = [(start, 0, start + size, size) if along == 0 else (0, start, size, start + size) for start in starts]
    seen = [box for box in boxes if box[along] < keep[along + 2] and keep[along] < box[along + 2]]
    return [window(scaled, (size, size), box)[0] for box in seen]


def sharpened(rgb: Image.Image, amount: float) -> Image.Image:
    """`rgb` with its details stronger where they are weak, by contrast adaptive sharpening; 0 leaves it, 1 is most.

    AMD FidelityFX CAS (GPUOpen-Effects/FidelityFX-CAS@9fabcc9 ffx-cas/ffx_cas.h, CasFilter, "better" diagonals):
    each pixel less its four neighbours, by as much as the contrast of the nine around leaves room for; there the
    strongest weight is 1/5. Unlike there, 0 changes nothing, and the values are those of the file, not of linear light.
    """
    if amount <= 0.0:
        return rgb
    values = np.pad(np.asarray(rgb, np.float32) / 255, ((1, 1), (1, 1), (0, 0)), mode="edge")
    height, width = rgb.height, rgb.width
    around = np.stack([values[y : y + height, x : x + width] for y in range(3) for x in range(3)])
    cross = around[1::2]  # above, left, right, below
    middle = around[4]
    near = np.concatenate([cross, middle[None]])
    low, high = near.min(0) + around.min(0), near.max(0) + around.max(0)
    room = np.minimum(low, 2 - high) / np.maximum(high, 1e-6)
    weight = -np.sqrt(room.clip(0, 1)) * amount / 5
    result = (middle + weight * cross.sum(0)) / (1 + 4 * weight)
    return Image.fromarray((result.clip(0, 1) * 255).round().astype(np.uint8))
