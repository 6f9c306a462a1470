"""Two scenes in one picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image

from pocket.draw import draw
from pocket.scenes import SIZE, Scene


def beside(left: Scene, right: Scene) -> Image.Image:
    """Each in its half, on its own background."""
    own = [
        np.asarray(draw(replace(scene, things=(replace(scene.things[0], place=place),))))
        for scene, place in ((left, "left"), (right, "right"))
    ]
    return Image.fromarray(np.where(np.arange(SIZE)[None, :, None] < SIZE // 2, *own))
