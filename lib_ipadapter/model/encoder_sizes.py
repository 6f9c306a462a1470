"""What an image encoder's configuration tells an adapter, without loading it."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import CheckpointError, unreadable
from lib_ipadapter.model.encoder_files import read_config
from lib_ipadapter.model.variant import Feature, Variant

FAILURES = (OSError, MemoryError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError, RuntimeError)
"""What reading a configuration may end in, which may come from anybody."""


@dataclass(frozen=True)
class EncoderSizes:
    """What an encoder's configuration tells an adapter."""

    hidden_size: int
    projection_dim: int
    grid: int
    """Places of the hidden states: one for the whole picture, and one for each patch."""
    image_size: int = field(default=224, compare=False)
    """Pixels of a side of the square that it sees. It says nothing about which adapter fits."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> EncoderSizes:
        """Those of a CLIP vision tower with this configuration."""
        names = ("hidden_size", "projection_dim", "image_size", "patch_size")
        hidden, projection, image, patch = (operator.index(config[name]) for name in names)
        return cls(hidden, projection, 1 + (image // patch) ** 2, image)

    def width(self, feature: Feature) -> int:
        """How wide what the encoder gives as `feature` is."""
        return {Feature.IMAGE_EMBEDS: self.projection_dim, Feature.HIDDEN_STATES: self.hidden_size}[feature]

    def __str__(self) -> str:
        return " and ".join(f"{feature.value} {self.width(feature)}" for feature in Feature) + " wide"

    def fits(self, variant: Variant) -> bool:
        """Whether the encoder gives features as wide as the adapter was trained on."""
        return not self.why_not(variant)

    def why_not(self, variant: Variant) -> str:
        """Why the encoder cannot serve an adapter, in a few words; empty when it can."""
        if variant.feature is None:
            return "the adapter takes none"
        given = self.width(variant.feature)
        return f"its {variant.feature.value} are {given} wide" if given != variant.features else ""

    def tokens(self, variant: Variant) -> int:
        """Image tokens per picture that an adapter makes of this encoder's features."""
        return self.grid if variant.tokens is None else variant.tokens


def read_sizes(path: Path) -> EncoderSizes:
    """The sizes of the encoder at `path`, without loading it. Raises `CheckpointError` when it is none."""
    try:
        return EncoderSizes.of(read_config(path))
    except CheckpointError:
        raise
    except FAILURES as error:
        none = f"{path.name} is not a CLIP image encoder ({type(error).__name__})."
        raise unreadable(error, path.name, none) from error
