"""A mask that was drawn in the page, as gradio 3 and today's hand it over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image, ImageChops

from lib_ipadapter.model.picture import as_mask


def is_drawing(value: Any) -> bool:
    """A picture with what was drawn over it; whoever calls the API sends text in place of either."""
    if not isinstance(value, Mapping):
        return False
    if {"background", "layers", "composite"} <= set(value):
        layers = value["layers"] if isinstance(value["layers"], list) else [value["layers"]]
        parts = [value["background"], value["composite"], *layers]
        return all(part is None or isinstance(part, Image.Image) for part in parts)
    return set(value) == {"image", "mask"} and all(isinstance(part, Image.Image) for part in value.values())


def mask_of(value: Any) -> Any:
    """The strokes as a mask; the picture below where nothing was drawn: it is a mask itself. Others as they are."""
    if not is_drawing(value):
        return value
    below, strokes = value.get("image", value.get("background")), _strokes(value)
    return strokes if strokes is not None and strokes.getbbox() else below


def _strokes(value: Mapping[str, Any]) -> Image.Image | None:
    """Gradio 3 has whitened them on black; today's are layers, opaque where there is a stroke."""
    if "layers" not in value:
        return as_mask(value["mask"])
    found: Image.Image | None = None
    for layer in value["layers"] or ():
        alpha = layer.convert("RGBA").getchannel("A")
        found = alpha if found is None else ImageChops.lighter(found, alpha)
    return found
