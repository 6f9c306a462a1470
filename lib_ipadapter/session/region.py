"""From what a user says about where, to a mask over what the host samples."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image, ImageFilter

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import as_mask, mask_values
from lib_ipadapter.patch.region import Region
from lib_ipadapter.session.host import Canvas
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.where import Side


def region(unit: Unit, shown: Callable[[], Canvas]) -> Region | None:
    """None where the unit acts everywhere. Raises `UnitError` when there is no mask and one was asked for.

    `shown`: gives what is made; it is asked only where there may be a mask.
    """
    if unit.mask is None and unit.side is Side.INSIDE:
        return None
    canvas = shown()
    drawn, box = (canvas.inpaint_mask, canvas.inpaint_box) if unit.side.of_inpaint else (unit.mask, canvas.box)
    if drawn is None:
        raise UnitError(_none(unit.side))
    values = mask_values(_soft(as_mask(drawn), unit.mask_blur))
    return Region(1 - values if unit.side.inverted else values, box, canvas.latent_size)


def _soft(mask: Image.Image, blur: float) -> Image.Image:
    return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask


def _none(side: Side) -> str:
    if side.of_inpaint:
        return (
            f"An IP-Adapter unit acts {side.value}, and nothing is inpainted here; inpaint something, or choose"
            f" {Side.INSIDE.value!r}."
        )
    return f"An IP-Adapter unit acts {side.value}, and has none; add a mask, or choose {Side.INSIDE.value!r}."
