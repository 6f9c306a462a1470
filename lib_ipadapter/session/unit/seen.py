"""How the reference picture is seen by the image encoder."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageColor

from lib_ipadapter.model.views import Crop, Look
from lib_ipadapter.session.unit.field import Type, setting


@dataclass(frozen=True)
class Seen:
    """What the encoder is given. FaceID files see the aligned face, whatever stands here."""

    crop: str = setting(
        "Crop",
        Type.CHOICE,
        "How the picture becomes a square: its middle, its top, squashed, padded, or several tiles that cover it.",
        default=Crop.CENTER.value,
        choices=tuple(crop.value for crop in Crop),
        rare=True,
        axis=True,
    )
    sharpening: float = setting(
        "Sharpening",
        Type.NUMBER,
        "How much the encoder's small view of the picture is sharpened; helps where detail was lost in scaling.",
        default=0.0,
        step=0.05,
        rare=True,
        axis=True,
    )
    background: str = setting(
        "Background",
        Type.COLOUR,
        "Colour behind transparent and masked parts, and around a padded picture.",
        default="#ffffff",
        rare=True,
    )
    image_mask: Image.Image | None = setting(
        "Look only here",
        Type.MASK,
        "A mask on the reference picture: white is looked at, black is hidden by the background's colour.",
        rare=True,
    )

    @property
    def look(self) -> Look:
        """How the picture is seen, as `views` takes it."""
        red, green, blue = ImageColor.getrgb(self.background)[:3]
        return Look(Crop(self.crop), (red, green, blue), self.sharpening, self.image_mask)
