"""What a user has set and what changes nothing beside the rest: told once, for the picture is made all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.session.unit import FIELDS, Unit

Found = tuple[Sequence[str], str, str]
"""Names of fields, why they are not used, and what to do."""

SEEN = ("image", "images", "weights", "image_mask", "face")
"""Fields that say what the reference is."""

SECOND_PICTURE = [kind.value for kind in WeightType if kind.two_pictures]
SECOND_SCALE = [kind.value for kind in WeightType if kind.two_scales]


def ignored(unit: Unit, variant: Variant) -> list[str]:
    """A sentence for each reason for which an adapter that is so makes nothing of something that `unit` says."""
    found = [*_of_layers(unit), *(_beside_a_saved_prompt(unit) if unit.embeds else _of_faces(unit, variant))]
    default = {field.name: field.default for field in FIELDS}
    given = [([name for name in names if getattr(unit, name) != default[name]], *rest) for names, *rest in found]
    return [_sentence(unit, names, why, advice) for names, why, advice in given if names]


def _sentence(unit: Unit, names: Sequence[str], why: str, advice: str) -> str:
    used = "is not used" if len(names) == 1 else "are not used"
    return f"IP-Adapter: {' and '.join(names)} of the unit with {unit.model} {used}: {why}; {advice}."


def _of_layers(unit: Unit) -> Iterator[Found]:
    if unit.layers:
        names = ("weight_type", "composition_scale", "composition_image")
        yield names, "layers by hand stand in place of the weight type", "leave layers empty, or take the others away"
        return
    kind = unit.weighting
    if not kind.two_pictures:
        advice = f"choose {' or '.join(SECOND_PICTURE)}, or take it away"
        yield ("composition_image",), f"the weight type {kind.value!r} takes one picture", advice
    if not kind.two_scales:
        advice = f"choose {' or '.join(SECOND_SCALE)}, or set it to 0"
        yield ("composition_scale",), f"the weight type {kind.value!r} has one scale", advice


def _beside_a_saved_prompt(unit: Unit) -> Iterator[Found]:
    assert unit.embeds is not None
    why = f"the saved image prompt {unit.embeds.label} stands for all of that"
    yield SEEN, why, "take one of the two away, or save the pictures again with it"


def _of_faces(unit: Unit, variant: Variant) -> Iterator[Found]:
    if variant.face is None:
        why = f"it is a {variant.kind.value} adapter, which asks for no face"
        yield ("face", "face_index", "face_combine"), why, "choose a FaceID file, or reset them"
        return
    yield ("image_mask",), "a FaceID file sees the aligned face", "choose the face by face_index"
    if unit.face is not None and variant.feature is None:
        yield ("image", "images"), "the ready-made face stands for what is seen", "take one of the two away"
    if unit.combine != Combination.CONCAT:
        why = f"combine is {unit.combine!r}, which counts more"
        yield ("face_combine",), why, f"set combine to {Combination.CONCAT.value!r}"
