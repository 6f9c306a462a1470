"""The image tokens of one unit: of one picture, of several as one, or of one for each item of the batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.combine import APART, Combination, combined, even_length, evened
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import FaceFeature, Variant
from lib_ipadapter.session.room import check_tokens, check_views
from lib_ipadapter.session.sight import Parts
from lib_ipadapter.session.unit import Unit


def image_tokens(unit: Unit, known: Sequence[Parts], nothing: Parts, adapter: IPAdapter) -> ImagePromptEmbeds:
    """Image tokens of what is `known` of each of a unit's pictures or faces, and of nothing, as `Sight` gives both.

    Raises `UnitError`.
    """
    way = combination(unit, adapter.variant)
    weights = weights_of(unit, len(known), way)

    def project(parts: Parts) -> Tensor:
        """``[1, views * tokens, width]``: those of several views stand one after the other."""
        return adapter.project(*parts, shortcut_scale=unit.shortcut_scale).flatten(0, 1)[None]

    uncond = project(nothing)
    if way in APART:
        rows = [project(parts) * weight for parts, weight in zip(known, weights, strict=True)]
        rows = rows if way is Combination.BATCH else [torch.cat(rows, dim=1)]
    else:
        rows = [project(one_of(known, way, weights, adapter.variant.face))]
    check_tokens(len(rows) + 1, even_length([*rows, uncond], 1), adapter.variant)
    *rows, uncond = evened([*rows, uncond], 1)
    return ImagePromptEmbeds(cond=torch.cat(rows), uncond=uncond)


def combination(unit: Unit, variant: Variant) -> Combination:
    """The way in which a unit's pictures become one. Several faces have a field of their own for the usual two."""
    way = Combination(unit.combine)
    return Combination(unit.face_combine) if variant.face and way is Combination.CONCAT else way


def weights_of(unit: Unit, count: int, way: Combination) -> list[float]:
    """One for each picture. Raises `UnitError` for those of which no mean can be taken."""
    weights = [unit.weight(number) for number in range(count)]
    if way in (Combination.AVERAGE, Combination.NORM_AVERAGE) and not any(weights):
        raise UnitError("IP-Adapter: weights are all 0, so there is no average; leave the picture or the weight out.")
    return weights


def one_of(known: Sequence[Parts], way: Combination, weights: Sequence[float], face: FaceFeature | None) -> Parts:
    """Several pictures as one, view by view. Raises `UnitError` where that would be too many views."""
    each = list(zip(*known, strict=True))
    for part in each:
        check_views(len(part), even_length(part, 0))
    found = [combined(torch.stack(evened(part, 0)), way, weights)[0] for part in each]
    if face is FaceFeature.NORMED and len(known) > 1:
        # The adapter was trained on embeddings of length 1.
        found[0] = F.normalize(found[0], dim=-1)
    return tuple(found)
