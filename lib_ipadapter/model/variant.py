"""What an adapter is: everything that is needed to build it, and to find what it is fed with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from lib_ipadapter.maths.structure import SD15, SDXL

Shapes = Mapping[str, tuple[int, ...]]
"""Key -> shape."""

HEAD_DIM = 64
"""Width of one head in every published Resampler."""


class Kind(str, Enum):
    """The projection that turns what is known of a picture into image tokens."""

    BASE = "base"
    PLUS = "plus"
    FULL = "full"
    FACEID = "faceid"
    """Portrait adapters too, which have more tokens and no LoRA."""
    FACEID_PLUS = "faceid-plus"
    FACEID_PLUS_V2 = "faceid-plusv2"
    """The same weights' shapes, with a shortcut around the resampler."""
    PORTRAIT_UNNORM = "portrait-unnorm"


PICTURE_KINDS = (Kind.BASE, Kind.PLUS, Kind.FULL)
"""Those that need nothing but an image encoder."""


class Feature(str, Enum):
    """What an image encoder feeds the projection with."""

    IMAGE_EMBEDS = "image_embeds"
    """The encoder's projected global embedding, ``[rows, features]``."""
    HIDDEN_STATES = "hidden_states"
    """The encoder's last-but-one layer without its final norm, ``[rows, 1 + patches, features]``."""


class FaceFeature(str, Enum):
    """What a face analysis feeds the projection with, ``[faces, 512]``; named as insightface names it."""

    NORMED = "normed_embedding"
    """Of length 1."""
    RAW = "embedding"
    """As the network gives it."""


class Base(str, Enum):
    """The family of checkpoints an adapter was trained on."""

    SD15 = "sd15"
    SDXL = "sdxl"

    @property
    def label(self) -> str:
        """As people write it."""
        return {Base.SD15: "SD1.5", Base.SDXL: "SDXL"}[self]


LAYERS = {SD15.layers: Base.SD15, SDXL.layers: Base.SDXL}
"""Number of cross-attention layers -> family. Widths do not decide: a small model may be built like a large one."""

EXPECTED_LAYERS = " or ".join(f"{count} ({base.label})" for count, base in LAYERS.items())
"""For messages."""

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
    """Image tokens per picture or face; None for a full adapter, which has one for each place of the encoder's grid."""
    width: int
    """Width of the image tokens; the checkpoint's text width (768 for SD1.5, 2048 for SDXL)."""
    feature: Feature | None
    """What it takes from an image encoder; None where it needs none (FaceID)."""
    features: int
    """Width of that; zero where there is none."""
    layers: tuple[int, ...]
    """Output width of each K/V map, in checkpoint order."""
    dim: int = 0
    depth: int = 0
    heads: int = 0
    head_dim: int = HEAD_DIM
    ff_mult: int = 0
    """Sizes of the Resampler; zero for other projections."""
    face: FaceFeature | None = None
    """What it takes from a face analysis; None for adapters of whole pictures."""
    face_width: int = 0
    """Width of that, 512 in every published file; zero where there is none."""
    face_dim: int = 0
    """Width inside the MLP over the face embedding; zero for other projections."""
    lora_rank: int = 0
    """Rank of the UNet's LoRA in the file; zero where it has none."""

    @property
    def encoder(self) -> str | None:
        """Name of the image encoder: a published one, or what is known of another; None where none is needed."""
        if self.feature is None:
            return None
        return ENCODERS[self.feature].get(self.features, "one that is not published")

    @property
    def feature_label(self) -> str:
        """What it takes from an image encoder, and how wide that is."""
        return f"{self.feature.value} {self.features} wide" if self.feature else "nothing"

    @property
    def tokens_label(self) -> str:
        """Image tokens per picture, as far as the adapter alone tells."""
        return "1 + patches" if self.tokens is None else str(self.tokens)

    @property
    def shortcut(self) -> bool:
        """Whether a shortcut scale means anything to it."""
        return self.kind is Kind.FACEID_PLUS_V2

    def __str__(self) -> str:
        needs = [
            f"{self.tokens_label} tokens",
            f"encoder {self.encoder}" if self.encoder else "",
            f"face {self.face.value} {self.face_width} wide" if self.face else "",
            f"LoRA of rank {self.lora_rank}" if self.lora_rank else "",
        ]
        return ", ".join([f"{self.base.value} {self.kind.value}", *filter(None, needs)])
