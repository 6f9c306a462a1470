"""The reference picture, and units made with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image

from tests.live import models
from tests.live.client import Json, encode

MakeUnit = Callable[..., Json]
"""``unit(**changes)``: a unit as the API takes it."""


def reference(width: int = 224, height: int = 224) -> Image.Image:
    """Shades with a bright box in them; as large as the encoder sees, so that nobody need scale it."""
    y, x = np.mgrid[:height, :width]
    shades = np.stack([255 * x / width, 255 * y / height, 255 - 255 * x / width], axis=-1).astype(np.uint8)
    shades[height // 4 : height // 2, width // 3 : width // 2] = 255
    return Image.fromarray(shades)


def unit_maker(image: Image.Image) -> MakeUnit:
    encoded = encode(image)

    def unit(**changes: Any) -> Json:
        return {"image": encoded, "model": models.BASE, **changes}

    return unit
