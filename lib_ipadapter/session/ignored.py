"""What a user has set and what changes nothing beside the rest: told once, for the picture is made all the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.picture import as_mask
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import fields_of
from lib_ipadapter.session.unit.passes import REPLACED, Source
from lib_ipadapter.session.unit.seen import Seen


class Found(NamedTuple):
    """Fields of which nothing is made."""

    names: Sequence[str]
    why: str
    advice: str
    where: str = ""
    """Where not, if elsewhere they are used."""


OF_SEEN = [field.name for field in fields_of(Seen)]
"""Fields that say how a picture is seen as a whole."""

SEEN = ("image", "images", "weights", "image_mask", "face")
"""Fields that say what the reference is."""

SECOND_PICTURE = [kind.value for kind in WeightType if kind.two_pictures]
SECOND_SCALE = [kind.value for kind in WeightType if kind.two_scales]


def ignored(unit: Unit, variant: Variant, face_folders: Sequence[Path] = ()) -> list[str]:
    """A sentence for each reason for which an adapter that is so makes nothing of something that `unit` says.

    Raises `IPAdapterError` for a saved face that is not in `face_folders`, or none.
    """
    found = [
        *_of_mask(unit),
        *_of_layers(unit),
        *(_beside_a_saved_prompt(unit) if unit.embeds else _of_faces(unit, variant, face_folders)),
    ]
    return _sentences(unit, found)


def replaced(unit: Unit) -> list[str]:
    """`ignored` for a unit of which the host finds the picture elsewhere: afterwards nobody knows its own."""
    why = f"reference is {unit.reference!r}"
    advice = f"set reference to {Source.PICTURE.value!r}, or take away what is given here"
    return _sentences(unit, [Found(REPLACED[unit.reference], why, advice)])


def _sentences(unit: Unit, found: Sequence[Found]) -> list[str]:
    default = {field.name: field.default for field in FIELDS}
    given = [one._replace(names=[name for name in one.names if getattr(unit, name) != default[name]]) for one in found]
    return [_sentence(unit, one) for one in given if one.names]


def _sentence(unit: Unit, found: Found) -> str:
    used = ("is not used" if len(found.names) == 1 else "are not used") + found.where
    return f"IP-Adapter: {' and '.join(found.names)} of the unit with {unit.model} {used}: {found.why}; {found.advice}."


def _of_mask(unit: Unit) -> Iterator[Found]:
    """A canvas on which nothing was drawn."""
    if unit.mask is None or unit.side.of_inpaint:
        return
    low, high = as_mask(unit.mask).getextrema()
    if (low == 255) if unit.side.inverted else (high == 0):
        colour = "white" if unit.side.inverted else "black"
        why = f"it is {colour} everywhere, so that the unit acts nowhere"
        yield Found(("mask",), why, "draw on it, or take it away")


def _of_layers(unit: Unit) -> Iterator[Found]:
    if unit.layers:
        names = ("weight_type", "composition_scale", "composition_image")
        why = "layers by hand stand in place of the weight type"
        yield Found(names, why, "leave layers empty, or take the others away")
        return
    kind = unit.weighting
    if not kind.two_pictures:
        advice = f"choose {' or '.join(SECOND_PICTURE)}, or take it away"
        yield Found(("composition_image",), f"the weight type {kind.value!r} takes one picture", advice)
    if not kind.two_scales:
        advice = f"choose {' or '.join(SECOND_SCALE)}, or set it to 0"
        yield Found(("composition_scale",), f"the weight type {kind.value!r} has one scale", advice)
    if kind.precise:
        why = "there the negative side sees the reference picture"
        where = f" in the layers that the weight type {kind.value!r} inverts"
        yield Found(("negative_image", "noise"), why, "choose another weight type, or take it away", where)


def _beside_a_saved_prompt(unit: Unit) -> Iterator[Found]:
    assert unit.embeds is not None
    why = f"the saved image prompt {unit.embeds.label} stands for all of that"
    yield Found(SEEN, why, "take one of the two away, or save the pictures again with it")


def _of_faces(unit: Unit, variant: Variant, face_folders: Sequence[Path]) -> Iterator[Found]:
    if variant.face is None:
        why = f"it is a {variant.kind.value} adapter, which asks for no face"
        yield Found(("face", "face_index", "face_combine"), why, "choose a FaceID file, or reset them")
        return
    if unit.pictures:
        yield Found(OF_SEEN, "a FaceID file sees the aligned face", "reset them, and choose the face by face_index")
    if unit.face is not None and variant.feature is None:
        yield Found(("image", "images"), "the ready-made face stands for what is seen", "take one of the two away")
    if unit.face is not None and variant.feature is not None and len(unit.pictures) > 1:
        faces = len(unit.face.read(face_folders))
        if faces < len(unit.pictures):
            why = f"face holds {faces}, and each takes one picture"
            yield Found(("images",), why, "leave the others out, or give a face for each", f" beyond the first {faces}")
    if unit.combine != Combination.CONCAT:
        why = f"combine is {unit.combine!r}, which counts more"
        yield Found(("face_combine",), why, f"set combine to {Combination.CONCAT.value!r}")
