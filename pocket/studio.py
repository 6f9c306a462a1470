"""The pocket model on a diffusers pipeline: the product's own way from a picture and a prompt to a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lib_ipadapter.hosts.diffusers import DiffusersHost
from lib_ipadapter.hosts.diffusers_checkpoint import Beside, read_pipeline, use_sampler
from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from pocket import ship
from pocket.scenes import SIZE

KINDS = (Kind.BASE, Kind.PLUS)
"""That the pocket model has adapters for."""
STEPS, GUIDANCE, SAMPLER = 16, 6.0, "dpm++2m"


class Studio:
    """Nothing here knows that the model is a small one."""

    def __init__(self, *homes: Path) -> None:
        """`homes`: folders for what a user saves, and for adapters beside those that ship."""
        cpu = torch.device("cpu")
        self.pipeline: Any = read_pipeline(ship.CHECKPOINT, cpu, torch.float32, Beside(tokenizer=ship.TOKENIZER))
        self.pipeline.set_progress_bar_config(disable=True)
        use_sampler(self.pipeline, SAMPLER)
        self.folders: dict[str, Any] = {"adapter_folders": [*homes, ship.WEIGHTS], "encoder_folders": [ship.ENCODER]}
        self.host = self.host_of(self.pipeline)
        self.library = Library()

    def host_of(self, pipeline: Any) -> DiffusersHost:
        """For this or another pipeline on the same models."""
        return DiffusersHost(pipeline, **self.folders)

    def draw(self, prompt: str, seed: int, *units: Unit, **more: Any) -> Image.Image:
        """SIZE x SIZE, by `units` and a prompt. `more`: for the pipeline, in place of what is usual here."""
        return self.draw_each([prompt], [seed], *units, **more)[0]

    def draw_each(self, prompts: Sequence[str], seeds: Sequence[int], *units: Unit, **more: Any) -> list[Image.Image]:
        """The same of several prompts and seeds at once, in half of the time."""
        with Generation(self.host, units, self.library):
            return self._sample(prompts, seeds, {"output_type": "pil", **more})

    def latents(self, prompt: str, seed: int, *units: Unit, **more: Any) -> torch.Tensor:
        """The same before decoding, ``[1, 4, SIZE / 8, SIZE / 8]``."""
        with Generation(self.host, units, self.library):
            return self._sample([prompt], [seed], {"output_type": "latent", **more})

    def _sample(self, prompts: Sequence[str], seeds: Sequence[int], more: dict[str, Any]) -> Any:
        usual = {"num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "width": SIZE, "height": SIZE}
        asked: dict[str, Any] = {
            "prompt": list(prompts),
            "generator": [torch.Generator().manual_seed(seed) for seed in seeds],
        }
        if len(prompts) == 1:  # of which there may be several pictures, and a negative prompt
            asked = {name: one for name, (one,) in asked.items()}
        return self.pipeline(**asked, **{**usual, **more}).images


def unit(kind: Kind, reference: Image.Image, scale: float) -> Unit:
    """What a user would set."""
    return Unit(image=reference, model=ship.adapter_path(kind).stem, scale=scale)


def unit_of_each(kind: Kind, references: Sequence[Image.Image], scale: float) -> Unit:
    """Each picture that is drawn at once has a reference of its own."""
    if len(references) == 1:
        return unit(kind, references[0], scale)
    return replace(unit(kind, references[0], scale), images=tuple(references[1:]), combine=Combination.BATCH.value)
