"""What an adapter file is, told from its key names and shapes alone.

Where several kinds have the same shapes they are all named, and `lib_ipadapter.model.identity` looks further.
Shapes of every published file: the README of tencent-ailab/IP-Adapter and the code that loads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from lib_ipadapter.errors import AmbiguousError, CheckpointError, some
from lib_ipadapter.model.builders import BUILDERS, PERCEIVER, Maps
from lib_ipadapter.model.face import WIDTH
from lib_ipadapter.model.refusals import REFUSED
from lib_ipadapter.model.variant import EXPECTED_LAYERS, LAYERS, Kind, Shapes, Variant


def detect(shapes: Shapes, choice: Kind | None = None) -> Variant:
    """The variant of a file.

    `shapes`: keys ``image_proj.*`` and ``ip_adapter.N.*``, as `lib_ipadapter.model.checkpoint` gives them.
    `choice`: which of several kinds with the same shapes it is; whatever is not among those is refused.
    Raises `CheckpointError` in one sentence that says what the file is instead, and `AmbiguousError` without `choice`.
    """
    projection = {k.removeprefix("image_proj."): v for k, v in shapes.items() if k.startswith("image_proj.")}
    try:
        return _recognised(projection, shapes, choice)
    except (IndexError, KeyError, ValueError, ZeroDivisionError):
        raise CheckpointError(
            "This file is damaged: tensors of its image projection or K/V maps have impossible shapes, or are missing;"
            " download it again."
        ) from None


def _recognised(projection: Shapes, shapes: Shapes, choice: Kind | None) -> Variant:
    for what, refuses in REFUSED.items():
        if refuses(projection, shapes):
            raise CheckpointError(
                f"This file is {what} and cannot be used here; choose an IP-Adapter for SD1.5 or SDXL."
            )
    for kinds, recognises in RECOGNISED.items():
        if recognises(projection):
            return BUILDERS[_chosen(kinds, choice)](projection, Maps(*key_value_shapes(shapes), lora_rank(shapes)))
    raise CheckpointError(
        "This file is not an IP-Adapter that is known here: its image projection has none of the expected keys"
        f" (proj.weight, or latents and proj_in.weight, or proj.0.weight to proj.3.weight);"
        f" it has {some(sorted(projection), 3)}."
    )


def _chosen(kinds: tuple[Kind, ...], choice: Kind | None) -> Kind:
    if choice is not None and choice in kinds:
        return choice
    names = " or ".join(kind.value for kind in kinds)
    if choice is not None:
        # A user may only say which of several kinds: where there is one, there is no such choice.
        advice = "choose one of those" if len(kinds) > 1 else "leave the kind unsaid (auto)"
        raise CheckpointError(f"This file is no {choice.value} adapter: by its shapes it is {names}; {advice}.")
    first, *others = kinds
    if others:
        raise AmbiguousError(
            f"This file may be {names}{TWINS.get(kinds, '')}: shapes, metadata, content and name do not tell;"
            " say which, or give the file its published name.",
            kinds,
        )
    return first


def key_value_shapes(shapes: Shapes) -> tuple[int, tuple[int, ...]]:
    """Text width, and the output width of each K/V map in checkpoint order."""
    found = {
        int(match[1]): shape
        for key, shape in shapes.items()
        if (match := re.fullmatch(r"ip_adapter\.(\d+)\.to_k_ip\.weight", key))
    }
    if not found:
        raise CheckpointError("This file holds no K/V maps (ip_adapter.1.to_k_ip.weight and on); download it again.")
    if len(found) not in LAYERS:
        raise CheckpointError(f"This file has {len(found)} cross-attention layers; expected {EXPECTED_LAYERS}.")
    ordered = [found[number] for number in sorted(found)]
    return ordered[0][1], tuple(shape[0] for shape in ordered)


def lora_rank(shapes: Shapes) -> int:
    """Rank of the LoRA in the file; zero where it has none."""
    ranks = (shape[0] for key, shape in shapes.items() if key.endswith("_lora.down.weight"))
    return next(ranks, 0)


RESAMPLER = {"latents", "proj_in.weight", "layers.0.0.to_q.weight", "layers.0.1.1.weight"}

RECOGNISED: dict[tuple[Kind, ...], Callable[[Shapes], bool]] = {
    (Kind.BASE,): lambda p: {"proj.weight", "norm.weight"} <= p.keys(),
    (Kind.FACEID_PLUS, Kind.FACEID_PLUS_V2): lambda p: any(k.startswith(PERCEIVER) for k in p),
    (Kind.FACEID,): lambda p: {"proj.0.weight", "proj.2.weight", "norm.weight"} <= p.keys(),
    (Kind.PORTRAIT_UNNORM, Kind.PLUS): lambda p: p.keys() >= RESAMPLER and p["proj_in.weight"][1] == WIDTH,
    (Kind.PLUS,): lambda p: p.keys() >= RESAMPLER,
    (Kind.FULL,): lambda p: {"proj.0.weight", "proj.2.weight", "proj.3.weight"} <= p.keys(),
}
"""Kinds that have these shapes -> how they are known. The first that holds."""

TWINS: dict[tuple[Kind, ...], str] = {
    (Kind.PORTRAIT_UNNORM, Kind.PLUS): " (with an encoder 512 wide), or InstantID, which cannot be used here",
}
"""Kinds -> what else looks the same, for the message."""
