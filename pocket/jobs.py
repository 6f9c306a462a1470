"""A job as the WebUI does it: img2img and hires fix draw over a picture, each pass with the units that act in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion_img2img import StableDiffusionImg2ImgPipeline
from PIL import Image, ImageOps

from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.passes import Pass, Source
from pocket.examples.pictures import named
from pocket.scenes import SIZE
from pocket.studio import GUIDANCE, STEPS, Studio


def perform(studio: Studio, job: Mapping[str, Any], prompt: str, seed: int, units: Sequence[Unit]) -> Image.Image:
    """What a payload with the fields of `job` gives."""
    if given := job.get("init_images"):
        picture = named(given[0])
        taken = [replace(unit, image=picture) if unit.reference == Source.INPUT else unit for unit in units]
        return draw_over(studio, picture, prompt, seed, acting(taken, Pass.FIRST), strength=job["denoising_strength"])
    size = {side: job.get(side, SIZE) for side in ("width", "height")}
    first = studio.draw(prompt, seed, *acting(units, Pass.FIRST), **size)
    if not job.get("enable_hr"):
        return first
    large = ImageOps.scale(first, job["hr_scale"], Image.Resampling.LANCZOS)
    return draw_over(studio, large, prompt, seed, acting(units, Pass.HIRES), strength=job["denoising_strength"])


def acting(units: Sequence[Unit], now: Pass) -> list[Unit]:
    """Those with a part in a pass."""
    return [unit for unit in units if unit.enabled and unit.acts_in(now)]


def draw_over(
    studio: Studio, picture: Image.Image, prompt: str, seed: int, units: Sequence[Unit], *, strength: float
) -> Image.Image:
    """`picture` with as much noise as `strength` says, drawn anew from there."""
    pipeline = StableDiffusionImg2ImgPipeline(**studio.pipeline.components, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    options = {"num_inference_steps": round(STEPS / strength), "guidance_scale": GUIDANCE, "strength": strength}
    generator = torch.Generator().manual_seed(seed)
    with Generation(studio.host_of(pipeline), units, studio.library):
        drawn: Any = pipeline(prompt, picture, generator=generator, **options)
    return drawn.images[0]
