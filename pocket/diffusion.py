"""The UNet and CLIP's text tower, trained together: noise loss over latents of scenes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from torch import Tensor, nn
from tqdm import trange
from transformers import CLIPTokenizer

from lib_ipadapter.model.writing import whole
from lib_ipadapter.training.config import Weighting
from lib_ipadapter.training.frozen import to_pixels
from lib_ipadapter.training.objective import noised, row_weights
from pocket.captions import caption
from pocket.draw import close_up_of, draw
from pocket.scenes import SIZE, Scene, sample_scene, sample_thing
from pocket.stage import Loss
from pocket.text import WIDTH, make_text, tokens_of
from pocket.vae import SCALE

CHANNELS = (64, 64, 128, 128)
HEADS = 4
DROP_TEXT = 0.1
NOISE: dict[str, Any] = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
"""SD1.5's."""


def make_unet() -> UNet2DConditionModel:
    """SD1.5's structure: 12 blocks in, a middle, 12 out, 16 cross-attention layers."""
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=CHANNELS,
        layers_per_block=2,
        cross_attention_dim=WIDTH,
        attention_head_dim=HEADS,
    )


class Diffusion(nn.Module):
    """Both as something with one forward pass."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text = make_text(tokenizer)
        self.unet = make_unet().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, latents: Tensor, timesteps: Tensor, tokens: Tensor) -> Tensor:
        """Noised latents ``[n, 4, h, w]``, token numbers ``[n, 77]`` -> the noise."""
        return self.unet(latents, timesteps, self.text(tokens).last_hidden_state, return_dict=False)[0]


@dataclass(frozen=True)
class World:
    """Scenes and their latents' means and deviations, ``[n, 8, h, w]``."""

    scenes: list[Scene]
    moments: Tensor
    places: bool
    """Whether captions may name sizes and places."""


def close_up(lot: random.Random) -> Scene:
    """One small thing in the middle: what the training sees first, cut out at 64 x 64."""
    thing = sample_thing(lot, size="small", place="centre")
    return Scene((thing,), *_look(lot))


def _look(lot: random.Random) -> tuple[str, str, int]:
    other = sample_scene(lot)
    return other.background, other.style, other.grain


@torch.no_grad()
def make_world(vae: AutoencoderKL, count: int, seed: int, close_ups: bool, path: Path) -> World:
    """`count` scenes, encoded once and kept at `path`."""
    lot = random.Random(seed)
    scenes = [close_up(lot) if close_ups else sample_scene(lot) for _ in range(count)]
    if path.is_file():
        return World(scenes, torch.from_numpy(np.load(path)), not close_ups)
    device = next(vae.parameters()).device
    picture = close_up_of if close_ups else draw
    rows: list[Tensor] = []
    for start in trange(0, count, 8, desc=f"latents {path.stem}"):
        pixels = torch.cat([to_pixels(picture(scene)) for scene in scenes[start : start + 8]])
        found: Any = vae.encode(pixels.to(device)).latent_dist  # pyright: ignore[reportAttributeAccessIssue]
        rows.append(torch.cat([found.mean, found.std], dim=1).cpu() * SCALE)
    moments = torch.cat(rows)
    with whole(path) as part, part.open("wb") as file:
        np.save(file, moments.numpy())
    return World(scenes, moments, not close_ups)


def diffusion_loss(world: World, tokenizer: CLIPTokenizer, batch: int) -> Loss:
    """Squared error of the noise, early rows, of little signal, counting more."""
    alphas = DDIMScheduler(**NOISE).alphas_cumprod

    def loss(model: nn.Module, lot: random.Random) -> tuple[Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        rows = [lot.randrange(len(world.scenes)) for _ in range(batch)]
        texts = [
            "" if lot.random() < DROP_TEXT else caption(world.scenes[row], lot, places=world.places) for row in rows
        ]
        tokens = tokens_of(tokenizer, texts)
        mean, deviation = world.moments[rows].float().chunk(2, dim=1)
        timesteps = torch.randint(0, len(alphas), (batch,))
        alpha = alphas[timesteps][:, None, None, None]
        noise = torch.randn_like(mean)
        latents = noised(mean + deviation * torch.randn_like(mean), noise, alpha)
        answer = model(latents.to(device, memory_format=torch.channels_last), timesteps.to(device), tokens.to(device))
        error = (answer - noise.to(device)).square().mean(dim=(1, 2, 3))
        value = (error * row_weights(Weighting.EARLY, "epsilon", alpha).flatten().to(device)).mean()
        return value, {"noise": float(error.detach().mean())}

    return loss
