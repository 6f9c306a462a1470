"""Which family a single file is of, from the names and shapes of its tensors alone."""

from __future__ import annotations

from collections.abc import Mapping

from lib_ipadapter.errors import CheckpointError, some
from lib_ipadapter.model.variant import Base

UNET, VAE = "model.diffusion_model.", "first_stage_model."
CLIP = {Base.SD15: "cond_stage_model.transformer.", Base.SDXL: "conditioner.embedders.0.transformer."}
OPEN_CLIP = "conditioner.embedders.1.model."

PARTS = {
    Base.SD15: (UNET, VAE, CLIP[Base.SD15]),
    Base.SDXL: (UNET, VAE, CLIP[Base.SDXL], OPEN_CLIP),
}
"""Family -> prefixes of the keys that a whole checkpoint has."""

REFUSED = {
    "conditioner.embedders.0.model.": "an SDXL refiner",
    "edm_mean": "Playground v2.5, which has noise levels of its own",
    "edm_vpred.": "CosXL, which has noise levels of its own",
    "cond_stage_model.model.": "an SD2 checkpoint",
    "double_blocks.": "a Flux model",
    "joint_blocks.": "an SD3 model",
    "down_blocks.": "one part of a diffusers folder",
}
"""Prefix of keys that neither family has -> what they tell. The UNet's own prefix may stand before it."""

CHANNELS = {8: "an InstructPix2Pix checkpoint", 9: "an inpainting checkpoint"}
"""What goes into the UNet -> what it is, where that is not a latent alone."""


def detect(name: str, shapes: Mapping[str, tuple[int, ...]]) -> Base:
    """The family of the file called `name`. Raises `CheckpointError` for anything but SD1.5 and SDXL."""
    for prefix, what in REFUSED.items():
        if any(key.removeprefix(UNET).startswith(prefix) for key in shapes):
            raise CheckpointError(
                f"{name} is {what}, which cannot be read from one file here; expected an SD1.5 or SDXL checkpoint."
            )
    channels = shapes.get(f"{UNET}input_blocks.0.0.weight", (0, 4))[1]
    if channels != 4:
        raise CheckpointError(
            f"{name} is {CHANNELS.get(channels, 'a checkpoint that is conditioned on more than text')}:"
            f" its UNet takes {channels} channels, expected the 4 of a latent;"
            " give the checkpoint that it was made from."
        )
    for base, parts in PARTS.items():
        if all(_has(shapes, part) for part in parts):
            return base
    raise CheckpointError(f"{name} is not a whole SD1.5 or SDXL checkpoint: {_lack(shapes)}.")


def _has(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> bool:
    return any(key.startswith(prefix) for key in shapes)


def _lack(shapes: Mapping[str, tuple[int, ...]]) -> str:
    """What is missing in what comes nearest, or what is there in its place."""
    base = Base.SDXL if _has(shapes, "conditioner.") else Base.SD15
    missing = [f"{part}*" for part in PARTS[base] if not _has(shapes, part)]
    if len(missing) < len(PARTS[base]):
        return f"it has no keys {' and '.join(missing)}; give one that holds UNet, autoencoder and text encoders"
    return f"expected keys {UNET}*, {VAE}* and cond_stage_model.* or conditioner.*, found {some(sorted(shapes), 3)}"
