"""A diffusers pipeline as a host: for the command line, training and tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl import StableDiffusionXLPipeline
from torch import nn

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.maths.precision import without_autocast
from lib_ipadapter.patch.moment import Role
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import BeginStep, Canvas

LOG = logging.getLogger(__name__)

Pipeline = StableDiffusionPipeline | StableDiffusionXLPipeline


class DiffusersHost:
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
        self.device = torch.device(pipeline.device)
        self.dtype = pipeline.dtype
        self._adapter_folders = adapter_folders
        self._encoder_folders = encoder_folders
        self._cache = cache

    def unet(self) -> nn.Module:
        """The pipeline's UNet."""
        return self.pipeline.unet

    def canvas(self) -> Canvas:
        """A pipeline makes whole pictures, of sizes that it is told when it is called."""
        return Canvas()

    def adapter_folders(self) -> Sequence[Path]:
        """As given."""
        return self._adapter_folders

    def encoder_folders(self) -> Sequence[Path]:
        """As given."""
        return self._encoder_folders

    def feature_cache(self) -> DiskCache | None:
        """As given."""
        return self._cache

    def full_precision(self) -> AbstractContextManager[object]:
        """Nothing is cast here unless the caller does it."""
        return without_autocast(self.device)

    def fail(self, error: IPAdapterError) -> None:
        """Ends the pipeline's call."""
        raise error

    def notice(self, sentence: str) -> None:
        """To the log."""
        LOG.warning(sentence)

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
