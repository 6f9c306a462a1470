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


def as_rgb(image: Image.Image) -> Image.Image:
    """Any picture as RGB: turned as its EXIF says, transparent parts on white, 16 bits scaled to 8.

    White, because the method's author answers so (tencent-ailab/IP-Adapter issue 106).
    """
    # The WebUI's Pillow 9 opens a PNG of 16 bits as "I", and no other PNG.
    deep = image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, dtype=np.float64), posinf=0, neginf=0)
        top = 65535.0 if deep or values.max(initial=0) > 255 else 255.0
        return Image.fromarray((values.clip(0, top) / top * 255).round().astype(np.uint8)).convert("RGB")
    if _may_be_transparent(image):
        rgba = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        canvas = Image.new("RGBA", rgba.size, (*WHITE, 255))
        return Image.alpha_composite(canvas, rgba).convert("RGB")
    return image.convert("RGB")


def as_mask(image: Image.Image) -> Image.Image:
    """A mask as greyscale, white where it is: the opacity where anything is transparent, else the brightness.

    As the WebUI reads its inpaint masks (AUTOMATIC1111/stable-diffusion-webui@82a973c modules/processing.py:90).
    """
    if _may_be_transparent(image):
        alpha = ImageOps.exif_transpose(image).convert("RGBA").getchannel("A")
        if alpha.getextrema() != (255, 255):
            return alpha
    return as_rgb(image).convert("L")


def mask_values(mask: Image.Image) -> Tensor:
    """A greyscale picture -> ``[height, width]``, 0 to 1."""
    return torch.from_numpy(np.asarray(mask, dtype=np.float32) / 255.0)


def content_hash(image: Image.Image) -> str:
    """SHA-256 of the pixels, in hex: equal pictures have equal hashes, whatever file they came in."""
    rgb = as_rgb(image)
    return hashlib.sha256(f"{rgb.width}x{rgb.height}:".encode() + rgb.tobytes()).hexdigest()


def encoder_view(image: Image.Image, size: int = 224) -> Image.Image:
    """The square that the encoder will see: short side to `size` (bicubic), centre crop.

    The same steps as CLIPImageProcessor, with which the published adapters were trained.
    """
    rgb = _middle(as_rgb(image))
    short = min(rgb.size)
    scaled = rgb.resize([max(size, int(side * size / short)) for side in rgb.size], Image.Resampling.BICUBIC)
    left, top = (scaled.width - size) // 2, (scaled.height - size) // 2
    return scaled.crop((left, top, left + size, top + size))


def _may_be_transparent(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _middle(image: Image.Image) -> Image.Image:
    """Of a picture like a thread (1 x 10000), as much of the middle as matters: scaled whole it fills memory."""
    width, height = (min(side, LONGEST * min(image.size)) for side in image.size)
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def pixel_values(view: Image.Image) -> Tensor:
    """A square RGB picture -> ``[1, 3, size, size]``, normalised as CLIP was trained."""
    array = np.asarray(view, dtype=np.float32) / 255.0
    normalised = (array - np.array(CLIP_MEAN, np.float32)) / np.array(CLIP_STD, np.float32)
    return torch.from_numpy(normalised).permute(2, 0, 1)[None].contiguous()
