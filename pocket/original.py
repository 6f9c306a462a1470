"""Weights in the layout of the original Stable Diffusion: one file, ldm's names, and the YAML that says the sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from pocket.diffusion import CHANNELS, HEADS, NOISE, WIDTH
from pocket.scenes import SIZE
from pocket.vae import SCALE, WIDTHS

UNET, VAE, TEXT = "model.diffusion_model.", "first_stage_model.", "cond_stage_model.transformer."

UNET_PARTS = {
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_in.": "input_blocks.0.0.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
    **{
        f"down_blocks.{level}.{part}.{place}.": f"input_blocks.{1 + 3 * level + place}.{slot}."
        for level in range(4)
        for place in range(2)
        for part, slot in (("resnets", 0), ("attentions", 1))
    },
    **{f"down_blocks.{level}.downsamplers.0.conv.": f"input_blocks.{3 + 3 * level}.0.op." for level in range(3)},
    **{
        f"up_blocks.{level}.{part}.{place}.": f"output_blocks.{3 * level + place}.{slot}."
        for level in range(4)
        for place in range(3)
        for part, slot in (("resnets", 0), ("attentions", 1))
    },
    **{
        f"up_blocks.{level}.upsamplers.0.conv.": f"output_blocks.{3 * level + 2}.{1 if level == 0 else 2}.conv."
        for level in range(3)
    },
}
UNET_RESIDUAL = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "time_emb_proj.": "emb_layers.1.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "conv_shortcut.": "skip_connection.",
}
VAE_PARTS = {
    "conv_norm_out.": "norm_out.",
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.attentions.0.": "mid.attn_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    **{f"down_blocks.{level}.downsamplers.0.": f"down.{level}.downsample." for level in range(3)},
    **{f"down_blocks.{level}.resnets.": f"down.{level}.block." for level in range(4)},
    **{f"up_blocks.{level}.upsamplers.0.": f"up.{3 - level}.upsample." for level in range(3)},
    **{f"up_blocks.{level}.resnets.": f"up.{3 - level}.block." for level in range(4)},
}
VAE_INNER = {
    "conv_shortcut.": "nin_shortcut.",
    "group_norm.": "norm.",
    "to_q.": "q.",
    "to_k.": "k.",
    "to_v.": "v.",
    "to_out.0.": "proj_out.",
}
"""diffusers' part of a key -> the original's."""


def to_original(unet: nn.Module, vae: nn.Module, text: nn.Module) -> dict[str, Tensor]:
    """The three state dicts as one, original keys."""
    found = {UNET + _unet_key(key): value for key, value in unet.state_dict().items()}
    found |= {VAE + _vae_key(key): _vae_value(key, value) for key, value in vae.state_dict().items()}
    for key, value in text.state_dict().items():
        found[TEXT + ("" if key.startswith("text_model.") else "text_model.") + key] = value
    return found


def _unet_key(key: str) -> str:
    key = _start(key, UNET_PARTS)
    return _inside(key, UNET_RESIDUAL) if "transformer_blocks" not in key else key


def _vae_key(key: str) -> str:
    if key.startswith(("quant_conv", "post_quant_conv")):
        return key
    side, rest = key.split(".", 1)
    return f"{side}.{_inside(_start(rest, VAE_PARTS), VAE_INNER)}"


def _vae_value(key: str, value: Tensor) -> Tensor:
    """The original's attention is made of 1 x 1 convolutions."""
    return value[:, :, None, None] if "attentions" in key and value.ndim == 2 else value


def _start(key: str, table: Mapping[str, str]) -> str:
    return next((new + key.removeprefix(old) for old, new in table.items() if key.startswith(old)), key)


def _inside(key: str, table: Mapping[str, str]) -> str:
    for old, new in table.items():
        key = key.replace(f".{old}", f".{new}")
    return key


def config(tokenizer: str) -> dict[str, Any]:
    """What the YAML beside the file says. `tokenizer`: folder of the tokenizer and the text tower's config.json."""
    params = {
        "linear_start": NOISE["beta_start"],
        "linear_end": NOISE["beta_end"],
        "num_timesteps_cond": 1,
        "log_every_t": 200,
        "timesteps": 1000,
        "first_stage_key": "jpg",
        "cond_stage_key": "txt",
        "image_size": SIZE // 8,
        "channels": 4,
        "cond_stage_trainable": False,
        "conditioning_key": "crossattn",
        "monitor": "val/loss_simple_ema",
        "scale_factor": SCALE,
        "use_ema": False,
        "unet_config": {"target": "ldm.modules.diffusionmodules.openaimodel.UNetModel", "params": _unet()},
        "first_stage_config": {"target": "ldm.models.autoencoder.AutoencoderKL", "params": _autoencoder()},
        "cond_stage_config": {
            "target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder",
            "params": {"version": tokenizer},
        },
    }
    return {"model": {"target": "ldm.models.diffusion.ddpm.LatentDiffusion", "params": params}}


def _unet() -> dict[str, Any]:
    return {
        "image_size": SIZE // 8,
        "in_channels": 4,
        "out_channels": 4,
        "model_channels": CHANNELS[0],
        "attention_resolutions": [4, 2, 1],
        "num_res_blocks": 2,
        "channel_mult": [width // CHANNELS[0] for width in CHANNELS],
        "num_heads": HEADS,
        "use_spatial_transformer": True,
        "transformer_depth": 1,
        "context_dim": WIDTH,
        "use_checkpoint": False,
        "legacy": False,
    }


def _autoencoder() -> dict[str, Any]:
    sizes = {
        "double_z": True,
        "z_channels": 4,
        "resolution": SIZE,
        "in_channels": 3,
        "out_ch": 3,
        "ch": WIDTHS[0],
        "ch_mult": [width // WIDTHS[0] for width in WIDTHS],
        "num_res_blocks": 0,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return {
        "embed_dim": 4,
        "monitor": "val/rec_loss",
        "ddconfig": sizes,
        "lossconfig": {"target": "torch.nn.Identity"},
    }
