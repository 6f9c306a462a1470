"""A single-file checkpoint with the original keys, made from ldm's own classes, and a tokenizer of a few words."""

from __future__ import annotations

import json
import string
import sys
import types
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from ldm.modules.diffusionmodules.model import Decoder, Encoder
    from ldm.modules.diffusionmodules.openaimodel import UNetModel

NUMPY = "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
"""diffusers' sigma schedulers hand tensors to numpy 2 in the old way."""

TEXT_WIDTH = 64
UNET: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 32,
    "attention_resolutions": [4, 2, 1],
    "num_res_blocks": 2,
    "channel_mult": [1, 2, 4, 4],
    "num_heads": 4,
    "transformer_depth": 1,
    "context_dim": TEXT_WIDTH,
}
VAE: dict[str, Any] = {
    "z_channels": 4,
    "in_channels": 3,
    "out_ch": 3,
    "ch": 32,
    "ch_mult": [1, 1, 1, 1],
    "num_res_blocks": 1,
}


def original_unet() -> nn.Module:
    """ldm's UNet, every weight random: some begin at zero, which would hide a mistake."""
    with without_omegaconf():
        return randomised(UNetModel(image_size=32, use_spatial_transformer=True, legacy=False, **UNET))


@contextmanager
def without_omegaconf() -> Iterator[None]:
    """ldm's UNet asks for a class of it, to compare types."""
    config = types.ModuleType("omegaconf.listconfig")
    config.ListConfig = type("ListConfig", (), {})  # pyright: ignore[reportAttributeAccessIssue]
    with mock.patch.dict(sys.modules, {"omegaconf": types.ModuleType("omegaconf"), "omegaconf.listconfig": config}):
        yield


def original_vae() -> nn.Module:
    """The parts of ldm's autoencoder, under its names."""
    return randomised(ldm_vae(VAE))


def ldm_vae(sizes: dict[str, Any]) -> nn.ModuleDict:
    given = {**sizes, "attn_resolutions": [], "resolution": 64}
    parts = {
        "encoder": Encoder(double_z=True, **given),
        "decoder": Decoder(**given),
        "quant_conv": nn.Conv2d(8, 8, 1),
        "post_quant_conv": nn.Conv2d(4, 4, 1),
    }
    return nn.ModuleDict(parts)


def original_text_encoder() -> CLIPTextModel:
    """CLIP's text tower, one head of 64."""
    config = CLIPTextConfig(
        hidden_size=TEXT_WIDTH, intermediate_size=96, num_attention_heads=1, num_hidden_layers=2, vocab_size=600
    )
    return randomised(CLIPTextModel(config))


def randomised(module: Any) -> Any:
    """Weights of a size that lets values through."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        spread = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.1
        nn.init.normal_(parameter, mean=1.0 if parameter.ndim == 1 else 0.0, std=spread)
    return module.eval()


def original_tensors() -> dict[str, Tensor]:
    """Everything under the keys of the original files."""
    return {
        **{f"model.diffusion_model.{key}": value for key, value in original_unet().state_dict().items()},
        **{f"first_stage_model.{key}": value for key, value in original_vae().state_dict().items()},
        **text_tensors(original_text_encoder(), "cond_stage_model.transformer."),
    }


def text_tensors(tower: nn.Module, prefix: str) -> dict[str, Tensor]:
    """As the transformers of that time named them, with what it kept besides."""
    own = {key.removeprefix("text_model."): value for key, value in tower.state_dict().items()}
    named = {f"{prefix}text_model.{key}": value for key, value in own.items()}
    return named | {f"{prefix}text_model.embeddings.position_ids": torch.arange(77)[None]}


def write_original(path: Path) -> Path:
    """The checkpoint with its YAML beside it."""
    return write_tensors(path, original_tensors(), params())


def write_tensors(path: Path, tensors: dict[str, Tensor], config: dict[str, Any]) -> Path:
    """A file of either format, and its YAML."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = {key: value.clone().contiguous() for key, value in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(tensors, path)
    else:
        torch.save({"state_dict": tensors, "global_step": 1}, path)
    path.with_suffix(".yaml").write_text(yaml.safe_dump({"model": {"params": config}}), encoding="utf-8")
    return path


def params() -> dict[str, Any]:
    """``model.params``, as WebUI users write it for a checkpoint of their own."""
    return {
        "linear_start": 0.00085,
        "linear_end": 0.012,
        "timesteps": 1000,
        "scale_factor": 0.18215,
        "unet_config": {"params": UNET},
        "first_stage_config": {"params": {"ddconfig": VAE}},
        "cond_stage_config": {"target": "ldm.modules.encoders.modules.FrozenCLIPEmbedder"},
    }


def write_tokenizer(folder: Path) -> Path:
    """Lower-case letters, each by itself, and before them "!", which is CLIP's token 0."""
    letters = ["!", *string.ascii_lowercase]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
    return folder
