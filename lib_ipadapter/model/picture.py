"""Pictures as the encoder sees them."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

WHITE = (255, 255, 255)

LONGEST = 256
"""How many times longer than wide a picture may be before its ends are left out."""

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

PixelBox = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels."""


def as_rgb(image: Image.Image, background: Colour = WHITE) -> Image.Image:
    """Any picture as RGB: turned as its EXIF says, transparent parts on `background`, 16 bits scaled to 8.

    White unless said otherwise, because the method's author answers so (tencent-ailab/IP-Adapter issue 106).
    """
    upright = decoded(image)
    if upright.mode == "RGB":
        return upright
    return Image.alpha_composite(Image.new("RGBA", upright.size, (*background, 255)), upright).convert("RGB")


def decoded(image: Image.Image) -> Image.Image:
    """Any picture as RGB, or as RGBA where some of it is transparent; turned as its EXIF says, 16 bits scaled to 8."""
    # The WebUI's Pillow 9 opens a PNG of 16 bits as "I", and no other PNG.
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    image = turned(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
        top = _top(values.max(initial=0), deep=deep, fractions=image.mode == "F")
        return Image.fromarray((values.clip(0, top) / top * 255).round().astype(np.uint8)).convert("RGB")
    if _may_be_transparent(image):
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        return rgba if rgba.getchannel("A").getextrema() != (255, 255) else rgba.convert("RGB")
    return image.convert("RGB")


def _top(highest: float, *, deep: bool, fractions: bool) -> float:
    """What is white in a picture of numbers, which does not say it."""
    if fractions and highest <= 1:
        return 1.0
    return 65535.0 if deep or highest > 255 else 255.0


def turned(image: Image.Image) -> Image.Image:
    """As its EXIF says; where that is damaged, as it lies, which is how every viewer shows it."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # each part of Pillow's reader fails in a way of its own
        plain = image.copy()
        plain.info.pop("exif", None)
        return plain


def as_mask(image: Image.Image) -> Image.Image:
    """A mask as greyscale, white where it is: the opacity where anything is transparent, else the brightness.

    As the WebUI reads its inpaint masks (AUTOMATIC1111/stable-diffusion-webui@82a973c modules/processing.py:90).
    """
    if _may_be_transparent(image):
        alpha = turned(image).convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha
    return as_rgb(image).convert("L")


def mask_values(mask: Image.Image) -> Tensor:
    """A greyscale picture -> ``[height, width]``, 0 to 1."""
    return torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255.0)


def content_hash(image: Image.Image) -> str:
    """SHA-256 of the pixels, in hex: equal pictures have equal hashes, whatever file they came in.

    What is transparent counts, because its background is a matter of choice.
    """
    upright = decoded(image)
    return hashlib.sha256(f"{upright.width}x{upright.height}:".encode() + upright.tobytes()).hexdigest()


def encoder_view(image: Image.Image, size: int = 224) -> Image.Image:
    """The square that the encoder sees unless told otherwise: short side to `size` (bicubic), centre crop.

    The same steps as CLIPImageProcessor, with which the published adapters were trained.
    """
    return square(as_rgb(image), size)


def square(rgb: Image.Image, size: int, keep: PixelBox | None = None, *, top: bool = False) -> Image.Image:
    """`rgb` with its short side scaled to `size`, and of the long one what is around the middle of `keep`.

    `keep`: by default all of the picture. `top`: of a tall picture not the middle but the beginning of `keep`.
    """
    scaled, keep = scaled_to(rgb, size, LONGEST, keep)
    return window(scaled, (size, size), keep, top=top)[0]


def scaled_to(rgb: Image.Image, size: int, longest: int, keep: PixelBox | None = None) -> tuple[Image.Image, PixelBox]:
    """`rgb` with its short side scaled to `size`, bicubic, and where `keep` is then.

    Of a picture more than `longest` times longer than wide only as much as matters: a thread (1 x 10000) that is
    scaled whole fills memory.
    """
    width, height = (min(side, longest * min(rgb.size)) for side in rgb.size)
    rgb, keep = window(rgb, (width, height), keep or (0, 0, *rgb.size))
    short = min(rgb.size)
    scaled = rgb.resize([max(size, int(side * size / short)) for side in rgb.size], Image.Resampling.BICUBIC)
    left, upper, right, lower = (round(edge * scaled.size[i % 2] / rgb.size[i % 2]) for i, edge in enumerate(keep))
    return scaled, (left, upper, right, lower)


def window(
    image: Image.Image, size: tuple[int, int], keep: PixelBox, *, top: bool = False
) -> tuple[Image.Image, PixelBox]:
    """The part of `image` of that size whose middle is nearest to that of `keep`; and what it has of `keep`."""
    width, height = size
    left = _start(image.width, width, (keep[0] + keep[2] - width) // 2)
    upper = _start(image.height, height, keep[1] if top else (keep[1] + keep[3] - height) // 2)
    edges = (keep[0] - left, keep[1] - upper, keep[2] - left, keep[3] - upper)
    x0, y0, x1, y1 = (min(max(edge, 0), size[i % 2]) for i, edge in enumerate(edges))
    return image.crop((left, upper, left + width, upper + height)), (x0, y0, x1, y1)


def _start(length: int, part: int, wanted: int) -> int:
    return min(max(wanted, 0), length - part)


def _may_be_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def pixel_values(view: Image.Image) -> Tensor:
    """A square RGB picture -> ``[1, 3, size, size]``, normalised as CLIP was trained."""
    array = np.asarray(view, dtype=np.float32) / 255.0
    normalised = (array - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
    return torch.from_numpy(normalised).permute(2, 0, 1)[None].contiguous()
