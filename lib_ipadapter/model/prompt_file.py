"""An image prompt as a small file: image tokens, what adapter made them, and a thumbnail. No encoder is needed for it.

A safetensors file with the tensors ``cond`` ``[items, tokens, width]``, ``uncond`` ``[1, tokens, width]`` (float32,
after the projection) and ``thumbnail`` (the bytes of a JPEG), and in its metadata ``format``, ``adapter`` (the file's
name), ``adapter_sha256`` and ``variant``.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

import torch
from PIL import Image
from safetensors.torch import load, save
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.maths.precision import finite
from lib_ipadapter.model.picture import as_rgb

FORMAT = "ip-adapter image prompt 1"

MAX_BYTES = 64 << 20
"""Of a file. One picture with a full adapter for SDXL takes 4 MB."""

THUMBNAIL = 128
"""Longer side in pixels."""

MAX_THUMBNAIL = 1 << 18
"""Bytes; of its pixels alone it has 0.05 MB."""

AGAIN = "save it again with `python -m lib_ipadapter encode`"


@dataclass(frozen=True)
class SavedPrompt:
    """What such a file holds."""

    embeds: ImagePromptEmbeds
    adapter: str
    """Name of the file whose projection made the tokens."""
    adapter_sha256: str
    """Its content, in hex: the tokens mean nothing to any other."""
    variant: str
    thumbnail: bytes = b""
    """A JPEG, or nothing."""

    def data(self) -> bytes:
        """The file's content."""
        tensors = {"cond": self.embeds.cond, "uncond": self.embeds.uncond}
        tensors = {key: tensor.detach().cpu().float().contiguous() for key, tensor in tensors.items()}
        if self.thumbnail:
            tensors["thumbnail"] = torch.frombuffer(bytearray(self.thumbnail), dtype=torch.uint8)
        about = {"adapter": self.adapter, "adapter_sha256": self.adapter_sha256, "variant": self.variant}
        return save(tensors, {"format": FORMAT, **about})

    @classmethod
    def parse(cls, data: bytes, name: str) -> SavedPrompt:
        """From a file's content; `name` is for the message. Raises `CheckpointError`."""
        if len(data) > MAX_BYTES:
            raise CheckpointError(f"{name} is no saved image prompt: it has over {MAX_BYTES >> 20} MB; choose another.")
        about = _metadata(data)
        if about.get("format") != FORMAT:
            raise CheckpointError(f"{name} is no saved image prompt: its metadata does not say so; {AGAIN}.")
        try:
            tensors = load(data)
        except Exception as error:  # a damaged file can make the loader raise anything
            raise CheckpointError(f"{name} is damaged or cut short; {AGAIN}.") from error
        if misfit := _why_not(tensors):
            raise CheckpointError(f"{name} is no saved image prompt: {misfit}; {AGAIN}.")
        thumbnail = tensors.get("thumbnail", torch.empty(0, dtype=torch.uint8))
        return cls(
            ImagePromptEmbeds(tensors["cond"].float(), tensors["uncond"].float()),
            *(str(about.get(key, "")) for key in ("adapter", "adapter_sha256", "variant")),
            thumbnail=thumbnail.to(torch.uint8).contiguous().numpy().tobytes(),
        )


def thumbnail_of(image: Image.Image) -> bytes:
    """A small JPEG of a picture, with nothing in it but pixels."""
    small = as_rgb(image)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _metadata(data: bytes) -> dict[str, str]:
    """Of a safetensors file: eight bytes for the length of its header, then that as JSON. Empty for anything else."""
    try:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return dict(header["__metadata__"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}


def _why_not(tensors: dict[str, Tensor]) -> str:
    """Why tensors are no image prompt, in a few words; empty when they are one."""
    shapes = [list(tensors[key].shape) if key in tensors else [] for key in ("cond", "uncond")]
    whole = all(len(shape) == 3 and all(shape) for shape in shapes)
    if not whole or shapes[1][0] != 1 or shapes[0][1:] != shapes[1][1:]:
        return f"expected cond [items, tokens, width] and uncond [1, tokens, width], got {shapes[0]} and {shapes[1]}"
    if "thumbnail" in tensors and tensors["thumbnail"].numel() > MAX_THUMBNAIL:
        return f"its thumbnail has over {MAX_THUMBNAIL >> 10} KB"
    parts = (tensors["cond"], tensors["uncond"])
    if not all(part.is_floating_point() and finite(part) for part in parts):
        return "it has values that are not numbers"
    return ""
