"""Checkpoints on disk as diffusers pipelines, without asking any hub for anything.

Two kinds, each of SD1.5 or SDXL: a folder in diffusers' layout, and a single file with the original keys.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
from diffusers.schedulers.scheduling_euler_ancestral_discrete import EulerAncestralDiscreteScheduler
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from diffusers.schedulers.scheduling_heun_discrete import HeunDiscreteScheduler
from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

from lib_ipadapter.errors import CheckpointError, reason, unreadable
from lib_ipadapter.hosts.diffusers import Pipeline
from lib_ipadapter.hosts.diffusers_single_file import read_single_file

FOLDERS: dict[str, type[Any]] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}
"""What a folder's model_index.json may say."""

FOR_LATENTS = {"clip_sample": False, "set_alpha_to_one": False}
"""Of DDIM, as Stable Diffusion was trained: its defaults are for pixels, and latents go beyond -1 to 1."""

SAMPLERS: dict[str, Callable[[Any], Any]] = {
    "ddim": lambda config: DDIMScheduler.from_config({**FOR_LATENTS, **config}),
    "euler": EulerDiscreteScheduler.from_config,
    "euler-a": EulerAncestralDiscreteScheduler.from_config,
    "heun": HeunDiscreteScheduler.from_config,
    "dpm++2m": DPMSolverMultistepScheduler.from_config,
    "dpm++2m-karras": lambda config: DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True),
    "unipc": UniPCMultistepScheduler.from_config,
}
"""Name -> scheduler, made from the configuration of the one that the checkpoint comes with."""


@dataclass(frozen=True)
class Beside:
    """Files that a single-file checkpoint lacks, where the user names them."""

    config: Path | None = None
    """Original configuration, YAML; else the file of the checkpoint's name beside it; else the family's own."""
    tokenizer: Path | None = None
    """CLIP tokenizer folder (vocab.json, merges.txt)."""


def read_pipeline(
    path: Path,
    device: torch.device,
    dtype: torch.dtype,
    beside: Beside | None = None,
    *,
    vae_dtype: torch.dtype | None = None,
) -> Pipeline:
    """The pipeline in a folder or a single file; its autoencoder in `vae_dtype`, where that is another.

    Raises `CheckpointError`.
    """
    beside, vae_dtype = beside or Beside(), vae_dtype or dtype
    if not path.exists():
        raise CheckpointError(f"There is no checkpoint {path}; give a diffusers folder or a single-file checkpoint.")
    try:
        if path.is_dir():
            return _read_folder(path, dtype, vae_dtype).to(device)
        return read_single_file(path, dtype, beside.config, beside.tokenizer, vae_dtype=vae_dtype).to(device)
    except (CheckpointError, torch.cuda.OutOfMemoryError):  # the second is not the file's fault
        raise
    except Exception as error:
        why = reason(error).split(". ")[0]
        broken = (
            f"The checkpoint {path.name} cannot be read ({why}); download it again, or, where a single file has"
            " other sizes than SD1.5 or SDXL, put its YAML beside it."
        )
        raise unreadable(error, f"the checkpoint {path.name}", broken) from error


def use_sampler(pipeline: Pipeline, name: str) -> None:
    """Puts the sampler called `name` in place. Raises `CheckpointError` for an unknown one."""
    if name not in SAMPLERS:
        raise CheckpointError(f"There is no sampler called {name!r}; choose one of {', '.join(SAMPLERS)}.")
    pipeline.scheduler = SAMPLERS[name](pipeline.scheduler.config)


def _read_folder(path: Path, dtype: torch.dtype, vae_dtype: torch.dtype) -> Pipeline:
    index = path / "model_index.json"
    if not index.is_file():
        raise CheckpointError(f"{path} has no model_index.json; give a folder in diffusers' layout, or a single file.")
    kind = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name"))
    if kind not in FOLDERS:
        raise CheckpointError(f"{path.name} holds a {kind}; expected one of {', '.join(FOLDERS)}.")
    options: dict[str, Any] = {"dtype": {"default": dtype, "vae": vae_dtype}, "local_files_only": True}
    if kind == "StableDiffusionPipeline":
        options |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    if not any(_weights(path / "unet", "")) and any(_weights(path / "unet", "fp16.")):
        options["variant"] = "fp16"
    return FOLDERS[kind].from_pretrained(str(path), **options)


def _weights(folder: Path, variant: str) -> list[Path]:
    return [*folder.glob(f"diffusion_pytorch_model.{variant}safetensors"), *folder.glob(f"*model.{variant}bin")]
