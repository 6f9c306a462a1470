"""What an adapter file is, told from its key names and shapes alone; file names never decide.

Shapes of every published file: the README of tencent-ailab/IP-Adapter and the code that loads them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum

from lib_ipadapter.errors import CheckpointError

Shapes = Mapping[str, tuple[int, ...]]

HEAD_DIM = 64
"""Width of one head in every published Resampler."""


class Kind(str, Enum):
    """The projection that turns a picture's features into image tokens."""

    BASE = "base"
    PLUS = "plus"
    FULL = "full"


class Feature(str, Enum):
    """What the projection is fed with."""

    IMAGE_EMBEDS = "image_embeds"
    """The encoder's projected global embedding, ``[rows, features]``."""
    HIDDEN_STATES = "hidden_states"
    """The encoder's last-but-one layer without its final norm, ``[rows, 1 + patches, features]``."""


class Base(str, Enum):
    """The family of checkpoints an adapter was trained on."""

    SD15 = "sd15"
    SDXL = "sdxl"

    @property
    def label(self) -> str:
        """As people write it."""
        return {Base.SD15: "SD1.5", Base.SDXL: "SDXL"}[self]


LAYERS = {16: Base.SD15, 70: Base.SDXL}
"""Number of cross-attention layers -> family. Widths do not decide: a small model may be built like a large one."""

ENCODERS = {
    Feature.IMAGE_EMBEDS: {1024: "vit-h", 1280: "vit-bigg", 768: "vit-l"},
    Feature.HIDDEN_STATES: {1280: "vit-h", 1664: "vit-bigg", 1024: "vit-l"},
}
"""What the adapter is fed with, and how wide that is -> the published encoder that makes it."""


@dataclass(frozen=True)
class Variant:
    """Everything needed to build the adapter and to find its encoder and checkpoint."""

    kind: Kind
    base: Base
    tokens: int | None
    """Image tokens per picture; None for a full adapter, which has one for each place of the encoder's grid."""
    width: int
    """Width of the image tokens; the checkpoint's text width (768 for SD1.5, 2048 for SDXL)."""
    feature: Feature
    features: int
    """Width of the features that the projection is fed with."""
    layers: tuple[int, ...]
    """Output width of each K/V map, in checkpoint order."""
    dim: int = 0
    depth: int = 0
    heads: int = 0
    head_dim: int = HEAD_DIM
    ff_mult: int = 0
    """Sizes of the Resampler; zero for other projections."""

    @property
    def encoder(self) -> str:
        """Name of the image encoder: a published one, or what is known of another."""
        return ENCODERS[self.feature].get(self.features, f"unknown ({self.features} wide)")

    @property
    def tokens_label(self) -> str:
        """Image tokens per picture, as far as the adapter alone tells."""
        return "1 + patches" if self.tokens is None else str(self.tokens)

    def __str__(self) -> str:
        return f"{self.base.value} {self.kind.value}, {self.tokens_label} tokens, encoder {self.encoder}"


def detect(shapes: Shapes) -> Variant:
    """The variant of a file.

    `shapes`: keys ``image_proj.*`` and ``ip_adapter.N.*``, as `lib_ipadapter.model.checkpoint` gives them.
    Raises `CheckpointError` in one sentence that says what the file is instead.
    """
    projection = {k.removeprefix("image_proj."): v for k, v in shapes.items() if k.startswith("image_proj.")}
    try:
        return _recognised(projection, shapes)
    except (IndexError, ValueError, ZeroDivisionError):
        raise CheckpointError(
            "This file is damaged: tensors of its image projection or K/V maps have impossible shapes;"
            " download it again."
        ) from None


def _recognised(projection: Shapes, shapes: Shapes) -> Variant:
    for name, refuses in REFUSED.items():
        if refuses(projection):
            raise CheckpointError(
                f"This file is {name}, which cannot be used here yet; choose a base, plus or full adapter."
            )
    for kind, recognises in RECOGNISED.items():
        if recognises(projection):
            return BUILDERS[kind](projection, *key_value_shapes(shapes))
    raise CheckpointError(
        "This file is not an IP-Adapter that is known here: its image projection has none of the expected keys"
        f" (proj.weight, or latents and proj_in.weight, or proj.0.weight to proj.3.weight); it has {some(projection)}."
    )


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
        raise CheckpointError(
            f"This adapter has {len(found)} cross-attention layers; expected 16 (SD1.5) or 70 (SDXL)."
        )
    ordered = [found[number] for number in sorted(found)]
    return ordered[0][1], tuple(shape[0] for shape in ordered)


def base_variant(projection: Shapes, width: int, layers: tuple[int, ...]) -> Variant:
    """A linear projection of the global embedding."""
    outputs, features = projection["proj.weight"]
    return Variant(
        kind=Kind.BASE,
        base=LAYERS[len(layers)],
        tokens=outputs // width,
        width=width,
        feature=Feature.IMAGE_EMBEDS,
        features=features,
        layers=layers,
    )


def plus_variant(projection: Shapes, width: int, layers: tuple[int, ...]) -> Variant:
    """A Resampler over the last-but-one layer's grid."""
    _, tokens, dim = projection["latents"]
    inner = projection["layers.0.0.to_q.weight"][0]
    head_dim = min(HEAD_DIM, inner)
    return Variant(
        kind=Kind.PLUS,
        base=LAYERS[len(layers)],
        tokens=tokens,
        width=width,
        feature=Feature.HIDDEN_STATES,
        features=projection["proj_in.weight"][1],
        layers=layers,
        dim=dim,
        depth=len({key.split(".")[1] for key in projection if key.startswith("layers.")}),
        heads=inner // head_dim,
        head_dim=head_dim,
        ff_mult=projection["layers.0.1.1.weight"][0] // dim,
    )


def full_variant(projection: Shapes, width: int, layers: tuple[int, ...]) -> Variant:
    """An MLP over each place of the last-but-one layer's grid; the encoder decides how many there are."""
    _, features = projection["proj.0.weight"]
    return Variant(
        kind=Kind.FULL,
        base=LAYERS[len(layers)],
        tokens=None,
        width=width,
        feature=Feature.HIDDEN_STATES,
        features=features,
        layers=layers,
    )


Rule = Callable[[Shapes], bool]

REFUSED: dict[str, Rule] = {
    "a FaceID-plus adapter": lambda p: any(k.startswith("perceiver_resampler.") for k in p),
    # The first map of a full adapter is square, however wide its encoder is.
    "a FaceID adapter": lambda p: "proj.0.weight" in p and p["proj.0.weight"][1] == 512 != p["proj.0.weight"][0],
    "a face adapter (FaceID portrait unnorm or InstantID)": (
        lambda p: "proj_in.weight" in p and p["proj_in.weight"][1] == 512
    ),
    "a PuLID adapter": lambda p: any(k.startswith(("mapping_0.", "mapping_patch_")) for k in p),
    "a Kolors adapter": lambda p: "latents" in p and p["latents"][-1] == 2048,
}
"""Known, and not to be mistaken for something else."""

RECOGNISED: dict[Kind, Rule] = {
    Kind.BASE: lambda p: "proj.weight" in p and "norm.weight" in p,
    Kind.PLUS: lambda p: {"latents", "proj_in.weight", "layers.0.0.to_q.weight", "layers.0.1.1.weight"} <= p.keys(),
    Kind.FULL: lambda p: {"proj.0.weight", "proj.2.weight", "proj.3.weight"} <= p.keys(),
}

BUILDERS: dict[Kind, Callable[[Shapes, int, tuple[int, ...]], Variant]] = {
    Kind.BASE: base_variant,
    Kind.PLUS: plus_variant,
    Kind.FULL: full_variant,
}


def some(shapes: Shapes) -> str:
    """A few key names for a message."""
    names = sorted(shapes)
    return ", ".join(names[:3]) + (" ..." if len(names) > 3 else "") if names else "none at all"
