"""From a unit's pictures to what an adapter's projection is fed with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face import WIDTH, normed
from lib_ipadapter.model.noise import NoiseKind, spoilt
from lib_ipadapter.model.picture import encoder_view
from lib_ipadapter.model.variant import FaceFeature, Feature, Variant
from lib_ipadapter.model.views import views as look_at
from lib_ipadapter.session.encoding import See
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.recognition import Recognition
from lib_ipadapter.session.unit import NO_PICTURE, Unit

Parts = tuple[Tensor, ...]
"""What a projection takes, on the CPU: a face embedding, an encoder's features, or both, with a row for each view."""


def views(unit: Unit, image: Image.Image, size: int) -> list[Image.Image]:
    """The squares, `size` pixels wide, in which the encoder sees a picture; the tokens of several stand in a row."""
    # A mask is drawn for the first picture only.
    look = unit.look if image is next(iter(unit.pictures), None) else replace(unit.look, mask=None)
    return look_at(image, look, size)


@dataclass(frozen=True)
class Sight:
    """What one adapter sees."""

    variant: Variant
    see: See
    """By the image encoder; of an adapter that needs none it is never asked."""
    size: int
    """Of the encoder's pictures, in pixels."""
    host: Host
    faces: Recognition

    def known(self, unit: Unit) -> list[Parts]:
        """What the projection is fed with for each reference picture, or each face. Raises `IPAdapterError`."""
        if self.variant.face is not None:
            return self._faces(unit, self.variant.face)
        if not unit.pictures:
            raise UnitError(NO_PICTURE)
        shown = [views(unit, image, self.size) for image in unit.pictures]
        rows = iter(self._seen([view for one in shown for view in one]))
        return [(torch.stack([next(rows) for _ in one]),) for one in shown]

    def nothing(self, unit: Unit) -> Parts:
        """What unconditional rows are to see: what training did without a picture, or the user's negative picture.

        In training that was a zero embedding for a base adapter, and for plus and full adapters the hidden states of a
        zero pixel tensor (tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter.py:149 and 310); nobody's face is a
        zero embedding (ip_adapter_faceid.py:187 and 331).
        """
        if unit.negative_image is not None and not unit.noise and self.variant.face is not None:
            return self._faces(unit.showing(unit.negative_image), self.variant.face)[0]
        seen = self._negative(unit)
        if seen is None and self.variant.feature is not None:
            seen = self._seen_nothing(self.variant.feature)
        faces = [torch.zeros(1, WIDTH)] if self.variant.face else []
        return (*faces, *([seen] if seen is not None else []))

    def _negative(self, unit: Unit) -> Tensor | None:
        """What the encoder makes of the negative picture, or of noise; None where the user wants neither."""
        if not (unit.noise or unit.negative_image):
            return None
        if self.variant.feature is None:  # also of a ready-made face, beside which there may be no picture at all
            raise UnitError(
                "This adapter sees nothing but a face, which has no noise; set noise to 0, or choose another adapter."
            )
        source = unit.negative_image or next(iter(unit.pictures), None)
        assert source is not None, "what looks at pictures has seen one by now"
        if self.variant.face:
            alone = unit.showing(source)
            own = alone if unit.negative_image else replace(alone, face_index=unit.face_index)
            shown = self.faces.crops(own, self.host)
        else:
            shown = views(unit, source, self.size)
        if unit.noise:
            shown = [spoilt(encoder_view(view, self.size), NoiseKind(unit.noise_kind), unit.noise) for view in shown]
        return self._seen(shown)

    def _faces(self, unit: Unit, feature: FaceFeature) -> list[Parts]:
        rows = self.faces.rows(unit, self.host)
        if feature is FaceFeature.NORMED:
            rows = [normed(raw) for raw in rows]
        if self.variant.feature is None:
            return [(row,) for row in rows]
        crops = self._seen(self.faces.crops(unit, self.host)).split(1)
        # Of several ready-made faces there may be one picture, which then stands for all.
        return [(row, crops[min(number, len(crops) - 1)]) for number, row in enumerate(rows)]

    def _seen(self, shown: Sequence[Image.Image | None]) -> Tensor:
        """By the encoder, ``[views, ...]``; None for a zero pixel tensor."""
        assert self.variant.feature is not None
        return torch.cat([one.get(self.variant.feature) for one in self.see(shown)])

    def _seen_nothing(self, feature: Feature) -> Tensor:
        if feature is Feature.IMAGE_EMBEDS:
            return torch.zeros(1, self.variant.features)
        return self._seen([None])
