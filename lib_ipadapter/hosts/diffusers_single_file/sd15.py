"""SD1.5 from a single file."""

from __future__ import annotations

from pathlib import Path

from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

from lib_ipadapter.hosts.diffusers_single_file.family import CLIP
from lib_ipadapter.hosts.diffusers_single_file.parts import Original, read_unet, read_vae
from lib_ipadapter.hosts.diffusers_single_file.scheduler import read_scheduler
from lib_ipadapter.hosts.diffusers_single_file.text import read_clip
from lib_ipadapter.hosts.diffusers_single_file.tokenizer import read_tokenizer
from lib_ipadapter.model.variant import Base


def read(original: Original, vocabulary: Path) -> StableDiffusionPipeline:
    """The pipeline, without a safety checker: files hold none. Raises `CheckpointError`."""
    text = read_clip(original, CLIP[Base.SD15], vocabulary)
    return StableDiffusionPipeline(
        vae=read_vae(original),
        text_encoder=text,
        tokenizer=read_tokenizer(vocabulary, text.config.max_position_embeddings),
        unet=read_unet(original),
        scheduler=read_scheduler(original),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )
