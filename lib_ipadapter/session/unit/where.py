"""Where in the picture a unit acts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from PIL import Image

from lib_ipadapter.session.unit.field import Type, setting


class Side(str, Enum):
    """On which side of which mask."""

    INSIDE = "inside the mask"
    OUTSIDE = "outside the mask"
    INSIDE_INPAINT = "inside the inpaint mask"
    OUTSIDE_INPAINT = "outside the inpaint mask"

    @property
    def of_inpaint(self) -> bool:
        """The mask is the host's own."""
        return self in (Side.INSIDE_INPAINT, Side.OUTSIDE_INPAINT)

    @property
    def inverted(self) -> bool:
        """It acts where the mask is black."""
        return self in (Side.OUTSIDE, Side.OUTSIDE_INPAINT)


@dataclass(frozen=True)
class Where:
    """A region of the picture that is made; the reference is seen whole whatever the region."""

    mask: Image.Image | None = setting(
        "Mask",
        Type.MASK,
        "Where the unit acts, stretched over the whole picture: white, or opaque in a picture with transparency.",
        rare=True,
        late=True,
    )
    region: str = setting(
        "Acts",
        Type.CHOICE,
        "On which side of the mask, or of the mask that is inpainted. Without one, `inside the mask` is everywhere, and"
        " the others stop the job.",
        default=Side.INSIDE.value,
        choices=tuple(side.value for side in Side),
        rare=True,
        late=True,
    )
    mask_blur: float = setting(
        "Mask blur",
        Type.NUMBER,
        "Softness of the mask's edges, in pixels of the mask.",
        default=0.0,
        maximum=128.0,
        step=1.0,
        rare=True,
        late=True,
    )

    @property
    def side(self) -> Side:
        """`region`, as what it means."""
        return Side(self.region)
