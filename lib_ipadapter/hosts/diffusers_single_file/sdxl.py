"""SDXL from a single file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline

from lib_ipadapter.hosts.diffusers_single_file.config import dig
from lib_ipadapter.hosts.diffusers_single_file.family import CLIP, OPEN_CLIP
from lib_ipadapter.hosts.diffusers_single_file.parts import Original, read_unet, read_vae
from lib_ipadapter.hosts.diffusers_single_file.scheduler import read_scheduler
from lib_ipadapter.hosts.diffusers_single_file.text import read_clip, read_open_clip
from lib_ipadapter.hosts.diffusers_single_file.tokenizer import read_open_clip_tokenizer, read_tokenizer
from lib_ipadapter.model.variant import Base

SIZES = 6
"""Numbers beside the pooled text: height and width of the original, the crop's top and left, the size wanted."""


def read(original: Original, vocabulary: Path) -> StableDiffusionXLPipeline:
    """The pipeline with both text encoders. Raises `CheckpointError`."""
    first = read_clip(original, CLIP[Base.SDXL], vocabulary)
    tokenizer = read_tokenizer(vocabulary, first.config.max_position_embeddings)
    end: Any = tokenizer.eos_token_id
    second = read_open_clip(original, OPEN_CLIP, end)
    return StableDiffusionXLPipeline(
        vae=read_vae(original),
        text_encoder=first,
        text_encoder_2=second,
        tokenizer=tokenizer,
        tokenizer_2=read_open_clip_tokenizer(vocabulary, second.config.max_position_embeddings),
        unet=read_sdxl_unet(original, second.text_projection.out_features),
        scheduler=read_scheduler(original),  # pyright: ignore[reportArgumentType]
    )


def read_sdxl_unet(original: Original, pooled: int) -> UNet2DConditionModel:
    """With what it is told besides the text: a pooled text of that width, and the sizes of the picture.

    Said here, because diffusers knows SDXL by a text 2048 wide, and takes any other for another model's.
    """
    conditions = dig(original.params, "network_config", "params", "adm_in_channels") or 0
    return read_unet(
        original,
        class_embed_type=None,
        addition_embed_type="text_time",
        addition_time_embed_dim=(conditions - pooled) // SIZES,
        projection_class_embeddings_input_dim=conditions,
    )
