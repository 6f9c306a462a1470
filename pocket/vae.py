"""The KL autoencoder: 8 x 8 pixels to one latent of four channels, trained on crops of scenes."""

from __future__ import annotations

import random
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn

from lib_ipadapter.training.frozen import to_pixels
from pocket.draw import draw
from pocket.scenes import SIZE, sample_scene
from pocket.stage import Loss

WIDTHS = (64, 64, 64, 64)
"""Channels from the pixels down to the latents: ldm normalises in 32 groups, so 32 is the least."""
SCALE = 0.18215
"""SD1.5's: latents are brought to the spread that this turns into 1."""
SOFT = 1.0
"""While training. ldm's groups are 2 channels here, and a flat picture's colour is lost when those are brought to
spread 1; `harden` turns the trained weights into ones that give the same with ldm's eps."""
HARD = 1e-6
"""ldm's own."""
KL = 3e-4
"""Weight of the divergence per latent number: the decoder learns to bear a little noise."""


def make_vae() -> AutoencoderKL:
    """SD1.5's structure with as few residual blocks as it allows: none per level down, one per level up."""
    sizes: dict[str, Any] = {
        "block_out_channels": WIDTHS,
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
    }
    return AutoencoderKL(**sizes, layers_per_block=0, latent_channels=4, norm_num_groups=32, scaling_factor=SCALE)


def set_softness(vae: AutoencoderKL, eps: float) -> None:
    """The `eps` of every group norm, in place."""
    for module in vae.modules():
        if isinstance(module, nn.GroupNorm):
            module.eps = eps


class Reconstruction(nn.Module):
    """The VAE as something with one forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.vae = make_vae().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        set_softness(self.vae, SOFT)
        start_plain(self.vae)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Any]:
        """Pixels ``[n, 3, h, w]``, -1 to 1 -> the same again, and the posterior."""
        posterior: Any = self.vae.encode(pixels).latent_dist  # pyright: ignore[reportAttributeAccessIssue]
        return self.vae.decode(posterior.sample()).sample, posterior  # pyright: ignore[reportAttributeAccessIssue]


@torch.no_grad()
def start_plain(vae: AutoencoderKL) -> None:
    """Before training: what makes a picture smaller averages, what makes it larger repeats, the rest adds little,
    and the posterior is narrow."""
    for name, module in vae.named_modules():
        if name.endswith(("downsamplers.0.conv", "upsamplers.0.conv")):
            weight: Any = module.weight
            weight *= 0.3
            same = torch.eye(weight.shape[0])[:, :, None, None]
            if "down" in name:
                weight[:, :, :2, :2] += same / 4
            else:
                weight[:, :, 1:2, 1:2] += same
        elif name.endswith(("conv2", "to_out.0")):
            module.weight *= 0.3  # pyright: ignore
    quiet = vae.quant_conv
    assert quiet is not None
    assert quiet.bias is not None
    quiet.weight[:4] *= 8
    quiet.weight[4:] = 0
    quiet.bias[4:] = -6


def vae_loss(crop: int, count: int) -> Loss:
    """Differences of pixels and of their slopes, and the divergence, over `count` squares of `crop` pixels."""

    def loss(model: nn.Module, lot: random.Random) -> tuple[Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        pixels = torch.stack([_crop(lot, crop) for _ in range(count)]).to(device, memory_format=torch.channels_last)
        again, posterior = model(pixels)
        off = again - pixels
        slope = sum((again.diff(dim=side) - pixels.diff(dim=side)).abs().mean() for side in (2, 3))
        divergence = posterior.kl().mean() / (4 * (crop // 8) ** 2)
        value = off.square().mean() + 0.5 * off.abs().mean() + 0.25 * slope + KL * divergence
        return value, {"pixel": float(off.detach().abs().mean()), "kl": float(divergence.detach())}

    return loss


def _crop(lot: random.Random, crop: int) -> Tensor:
    """A square of a scene."""
    pixels = to_pixels(draw(sample_scene(lot, pair_share=0.4)))[0]
    y, x = (8 * lot.randint(0, (SIZE - crop) // 8) for _ in range(2))
    return pixels[:, y : y + crop, x : x + crop]


@torch.no_grad()
def settle(vae: AutoencoderKL, pixels: Tensor) -> None:
    """Brings each latent channel to mean 0 and spread 1 / SCALE by the two 1 x 1 convolutions around it, in place."""
    latents: Tensor = vae.encode(pixels).latent_dist.mean  # pyright: ignore[reportAttributeAccessIssue]
    mean, gain = latents.mean(dim=(0, 2, 3)), 1 / (SCALE * latents.std(dim=(0, 2, 3)))
    before, after = vae.quant_conv, vae.post_quant_conv
    assert before is not None
    assert after is not None
    assert before.bias is not None
    assert after.bias is not None
    before.weight[:4] *= gain[:, None, None, None]
    before.bias[:4] = (before.bias[:4] - mean) * gain
    before.bias[4:] += 2 * gain.log()
    after.bias += after.weight[:, :, 0, 0] @ mean
    after.weight /= gain[None, :, None, None]


@torch.no_grad()
def harden(vae: AutoencoderKL) -> None:
    """The same function with ldm's eps, in place.

    What flows between the blocks is made smaller by `shrink`; a group norm of eps 1 gives for x what one of
    eps shrink^2 gives for shrink x. Convolutions that read a norm's output write smaller; those that go from block to
    block pass it on, and only their bias is made smaller.
    """
    shrink = (HARD / SOFT) ** 0.5
    for side in (vae.encoder, vae.decoder):
        for name, module in side.named_modules():
            if name.endswith(("conv_in", "conv1", "conv2", "to_out.0")):
                module.weight *= shrink  # pyright: ignore
                module.bias *= shrink  # pyright: ignore
            elif name.endswith(("downsamplers.0.conv", "upsamplers.0.conv", "conv_shortcut")):
                module.bias *= shrink  # pyright: ignore
    set_softness(vae, HARD)
