"""What an encoder made of a picture, as bytes."""

from __future__ import annotations

import torch
from safetensors.torch import load, save

from lib_ipadapter.model.vision import ImageFeatures

SHAPES = {"image_embeds": 2, "hidden_states": 3}
"""Name of each part -> its dimensions."""


def pack(features: ImageFeatures) -> bytes:
    """As a safetensors file."""
    return save({name: getattr(features, name).contiguous() for name in SHAPES})


def unpack(data: bytes) -> ImageFeatures | None:
    """What was packed; None where that is no longer what it was."""
    try:
        found = load(data)
        features = ImageFeatures(*(found[name] for name in SHAPES))
    except Exception:  # a damaged file can make the loader raise anything
        return None
    shaped = all(
        found[name].dim() == dimensions and found[name].dtype == torch.float32 for name, dimensions in SHAPES.items()
    )
    return features if shaped and features.finite else None
