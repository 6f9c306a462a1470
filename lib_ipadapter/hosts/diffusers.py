"""A diffusers pipeline as a host: for the command line, training and tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from torch import nn

from lib_ipadapter.hosts.standalone import StandaloneHost
from lib_ipadapter.patch.moment import Role
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import BeginStep

Pipeline = StableDiffusionPipeline | StableDiffusionXLPipeline


class DiffusersHost(StandaloneHost):
    """Runs units on a pipeline for SD1.5 or SDXL, or one that is built like them."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        adapter_folders: Sequence[Path] = (),
        encoder_folders: Sequence[Path] = (),
        cache: DiskCache | None = None,
    ) -> None:
        self.pipeline = pipeline
        folders = {"adapter_folders": adapter_folders, "encoder_folders": encoder_folders}
        super().__init__(torch.device(pipeline.device), pipeline.dtype, **folders, cache=cache)

    def unet(self) -> nn.Module:
        """The pipeline's UNet."""
        return self.pipeline.unet

    @contextmanager
    def follow(self, begin_step: BeginStep) -> Iterator[None]:
        """Every UNet call of a pipeline is one denoiser step; its rows are the unconditional ones, then the others."""

        def before_unet(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            sample, timestep = (*args, *(kwargs[k] for k in ("sample", "timestep") if k in kwargs))[:2]
            roles = self._roles(len(sample))
            pictures = len(roles) // len(set(roles))
            begin_step(self._progress(timestep), roles, [row % pictures for row in range(len(roles))])

        handle = self.unet().register_forward_pre_hook(before_unet, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()

    def _progress(self, timestep: torch.Tensor) -> float:
        """Place of `timestep` among those that the scheduler has set."""
        timesteps = self.pipeline.scheduler.timesteps.tolist()
        return timesteps.index(float(timestep)) / len(timesteps)

    def _roles(self, rows: int) -> list[Role]:
        if not self.pipeline.do_classifier_free_guidance:
            return [Role.CONDITIONAL] * rows
        return [Role.UNCONDITIONAL] * (rows // 2) + [Role.CONDITIONAL] * (rows // 2)
