"""The demo's models, and how they draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lib_ipadapter.hosts.diffusers import DiffusersHost
from lib_ipadapter.hosts.diffusers_tiny import (
    SIZE,
    TEXT_WIDTH,
    save_adapter,
    tiny_adapter,
    tiny_encoder,
    tiny_pipeline,
)
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit

KINDS = (Kind.BASE, Kind.PLUS)
"""That are shown."""
STEPS = 8


@dataclass(frozen=True)
class Shot:
    """One picture of the sheet: which reference, which adapter, how strong."""

    reference: str
    kind: Kind
    scale: float


class Studio:
    """A tiny Stable Diffusion with a base and a plus adapter in `folder`, all of random weights."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = tiny_pipeline()
        self.adapters = {kind: tiny_adapter(kind, self.pipeline.unet, seed=1) for kind in KINDS}
        for kind, adapter in self.adapters.items():
            save_adapter(adapter, folder / "adapters" / f"{kind.value}.safetensors")
        tiny_encoder().save_pretrained(folder / "encoder")
        self.host = DiffusersHost(
            self.pipeline, adapter_folders=[folder / "adapters"], encoder_folders=[folder / "encoder"]
        )
        self.library = Library()

    def draw(self, unit: Unit) -> Tensor:
        """Latents, ``[1, 4, height, width]``, by the way that every picture takes."""
        with Generation(self.host, [unit], self.library):
            return sample(self.pipeline)

    def plain(self) -> Tensor:
        """Without anything of ours."""
        return sample(self.pipeline)

    def by_diffusers(self, unit: Unit) -> Tensor:
        """The same unit by diffusers' own IP-Adapter, on a pipeline of its own with the same weights."""
        adapter, encoder = self.adapters[Kind(unit.model)], ImageEncoder(tiny_encoder())
        pipeline: Any = tiny_pipeline()
        state = {"image_proj": adapter.image_proj.state_dict(), "ip_adapter": adapter.ip_adapter.state_dict()}
        pipeline.unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
        pipeline.set_ip_adapter_scale(unit.scale)
        assert unit.image is not None
        place = (self.host.device, self.host.dtype)
        cond = encoder.encode(unit.image, *place).get(adapter.variant.feature)
        nothing = torch.zeros_like(cond) if unit.model == "base" else encoder.encode_zeros(*place).hidden_states
        return sample(pipeline, ip_adapter_image_embeds=[torch.cat([nothing, cond])[:, None]])


def sample(pipeline: Any, **more: Any) -> Tensor:
    """One generation with classifier-free guidance; same noise, same text, always."""
    generator = torch.Generator().manual_seed(11)
    text, negative = torch.randn(2, 1, 77, TEXT_WIDTH, generator=generator)
    coarse = torch.randn(1, 4, 6, 6, generator=generator)
    # Noise of a coarse grain: an untrained UNet takes none away, and fine grain would hide what it does.
    noise = F.interpolate(coarse, size=(SIZE // 8, SIZE // 8), mode="bicubic", align_corners=True)
    return pipeline(
        prompt_embeds=text,
        negative_prompt_embeds=negative,
        latents=noise / noise.std(),
        num_inference_steps=STEPS,
        guidance_scale=4.0,
        output_type="latent",
        **more,
    ).images


def unit_of(shot: Shot, images: Mapping[str, Image.Image]) -> Unit:
    """What a user would have set."""
    return Unit(image=images[shot.reference], model=shot.kind.value, scale=shot.scale)
