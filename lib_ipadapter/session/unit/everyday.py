"""The controls at hand: a picture, an adapter, how strongly and when it acts."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from lib_ipadapter.session.unit.field import Type, setting


@dataclass(frozen=True)
class Everyday:
    """What every unit needs."""

    enabled: bool = setting("Enable", Type.SWITCH, "Whether the unit acts at all.", default=True, late=True)
    image: Image.Image | None = setting("Reference picture", Type.PICTURE, "The picture that is used as a prompt.")
    model: str | None = setting(
        "Model", Type.MODEL, "The adapter file, with or without its extension.", late=True, axis=True
    )
    scale: float = setting(
        "Scale",
        Type.NUMBER,
        "Strength of the picture against the text; at 1 published adapters all but drown a text.",
        default=0.6,
        maximum=2.0,
        step=0.05,
        late=True,
        axis=True,
    )
    start: float = setting(
        "Start",
        Type.NUMBER,
        "Fraction of the steps after which the picture begins to act.",
        default=0.0,
        late=True,
        axis=True,
    )
    end: float = setting(
        "End",
        Type.NUMBER,
        "Fraction of the steps after which the picture no longer acts.",
        default=1.0,
        late=True,
        axis=True,
    )
    encoder: str | None = setting(
        "Image encoder", Type.ENCODER, "The image encoder by name; without it the one that fits.", rare=True, late=True
    )
