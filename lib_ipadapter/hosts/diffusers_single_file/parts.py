"""UNet and autoencoder of a single file: diffusers' conversion, with sentences for what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    create_unet_diffusers_config_from_ldm,
    create_vae_diffusers_config_from_ldm,
)
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.hosts.diffusers_single_file.config import dig

Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class Original:
    """A single file that has been read."""

    name: str
    params: Mapping[str, Any]
    """``model.params`` of its configuration."""
    tensors: Mapping[str, Tensor]
    dtype: torch.dtype
    """Of the models that are made of it."""
    vae_dtype: torch.dtype | None = None
    """Of the autoencoder, where it is another: SDXL's overflows in fp16."""

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose keys begin with `prefix`, without it."""
        return {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}


def read_unet(original: Original, **own: Any) -> UNet2DConditionModel:
    """`own` is said of the UNet over what diffusers reads in the configuration."""
    config = _config(create_unet_diffusers_config_from_ldm, original) | own
    if isinstance(side := dig(original.params, "image_size"), int):
        config["sample_size"] = side  # of latents; diffusers takes 512 pixels whatever the file says
    tensors = convert_ldm_unet_checkpoint(dict(original.tensors), config)
    return fill(original, "UNet", lambda: UNet2DConditionModel(**config), tensors)


def read_vae(original: Original) -> AutoencoderKL:
    """The autoencoder, both ways."""
    config = _config(create_vae_diffusers_config_from_ldm, original)
    tensors = convert_ldm_vae_checkpoint(dict(original.tensors), config)
    return fill(
        replace(original, dtype=original.vae_dtype or original.dtype),
        "autoencoder",
        lambda: AutoencoderKL(**config),
        tensors,
    )


def fill(original: Original, part: str, build: Callable[[], Model], tensors: Mapping[str, Tensor]) -> Model:
    """The model that `build` makes, with `tensors` for its weights. Raises `CheckpointError`, which names `part`."""
    # Here, because the WebUI's packages do without accelerate, and their tests import this module.
    from accelerate import init_empty_weights  # noqa: PLC0415

    with init_empty_weights():  # random weights of SDXL's size would take a minute to draw
        model = build()
    wanted = model.state_dict()
    missing = [key for key in wanted if key not in tensors]
    if missing:
        raise CheckpointError(
            f"{len(missing)} tensors of the {part} are missing from {original.name}, {missing[0]} for one; download it"
            " again, or, where it has other sizes than others of its family, put its YAML beside it."
        )
    other = next((key for key, value in wanted.items() if tensors[key].shape != value.shape), None)
    if other:
        found, expected = list(tensors[other].shape), list(wanted[other].shape)
        raise CheckpointError(
            f"In the {part} of {original.name}, {other} is {found}, expected {expected};"
            " it has other sizes than its configuration says, put its own YAML beside it."
        )
    model.load_state_dict({key: tensors[key].to(original.dtype) for key in wanted}, assign=True)
    return model.eval()


def _config(create: Callable[..., dict[str, Any]], original: Original) -> dict[str, Any]:
    try:
        return create({"model": {"params": original.params}}, original.tensors)
    except KeyError as error:
        raise CheckpointError(
            f"The configuration of {original.name} does not say {error}; take the original YAML of its model."
        ) from error
