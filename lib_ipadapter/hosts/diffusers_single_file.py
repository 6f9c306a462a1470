"""A single-file SD1.5 checkpoint (original keys) as a pipeline, from local files alone.

diffusers' own `StableDiffusionPipeline.from_single_file` asks the hub for the configuration and the tokenizer.
The configuration is SD1.5's, or a YAML beside the file; the tokenizer is the one thing that must be there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.checkpoint import read_any

TEXT = "cond_stage_model.transformer."
SIGNATURES = {
    "conditioner.embedders.": "an SDXL checkpoint",
    "cond_stage_model.model.": "an SD2 checkpoint",
    "double_blocks.": "a Flux model",
    "joint_blocks.": "an SD3 model",
    "down_blocks.": "one part of a diffusers folder",
}
"""Prefix of keys that are certainly not SD1.5's -> what they tell."""

SD15: dict[str, Any] = {
    "linear_start": 0.00085,
    "linear_end": 0.012,
    "timesteps": 1000,
    "scale_factor": 0.18215,
    "unet_config": {
        "params": {
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 320,
            "attention_resolutions": [4, 2, 1],
            "num_res_blocks": 2,
            "channel_mult": [1, 2, 4, 4],
            "num_heads": 8,
            "transformer_depth": 1,
            "context_dim": 768,
        }
    },
    "first_stage_config": {
        "params": {
            "ddconfig": {
                "z_channels": 4,
                "in_channels": 3,
                "out_ch": 3,
                "ch": 128,
                "ch_mult": [1, 2, 4, 4],
                "num_res_blocks": 2,
            }
        }
    },
}
"""What the original v1-inference.yaml says under model.params, as far as anybody reads it."""


def read_single_file(
    path: Path, dtype: torch.dtype, config: Path | None = None, tokenizer: Path | None = None
) -> StableDiffusionPipeline:
    """The pipeline in one file. Raises `CheckpointError`."""
    params = read_config(path, config)
    text_folder = find_tokenizer(path, tokenizer, params)
    tensors = read_sd15(path)
    given: Any = tensors
    options: dict[str, Any] = {"original_config": {"model": {"params": params}}, "dtype": dtype}
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_single_file(given, **options),
        text_encoder=read_text_encoder(tensors, text_folder).to(dtype),  # pyright: ignore[reportArgumentType]
        tokenizer=CLIPTokenizer.from_pretrained(str(text_folder), local_files_only=True),
        unet=UNet2DConditionModel.from_single_file(given, **options),
        scheduler=read_scheduler(params),  # pyright: ignore[reportArgumentType]
        safety_checker=None,  # pyright: ignore[reportArgumentType]
        feature_extractor=None,  # pyright: ignore[reportArgumentType]
        requires_safety_checker=False,
    )


def read_sd15(path: Path) -> dict[str, Tensor]:
    """The file's tensors, once it is known to be an SD1.5 checkpoint."""
    tensors = {key.removeprefix("state_dict."): tensor for key, tensor in read_any(path).items()}
    for signature, what in SIGNATURES.items():
        if any(key.removeprefix("model.diffusion_model.").startswith(signature) for key in tensors):
            raise CheckpointError(
                f"{path.name} is {what}, which cannot be read from one file here; expected an SD1.5 checkpoint"
                " or, for SDXL, a folder in diffusers' layout."
            )
    if not any(key.startswith(TEXT) for key in tensors) or not any("attn2" in key for key in tensors):
        raise CheckpointError(
            f"{path.name} is not a whole SD1.5 checkpoint: expected keys model.diffusion_model.*,"
            f" first_stage_model.* and {TEXT}*, found {', '.join(sorted(tensors)[:3]) or 'nothing'}."
        )
    return tensors


def read_config(path: Path, config: Path | None) -> dict[str, Any]:
    """``model.params`` of the YAML given, or beside the checkpoint, or of SD1.5."""
    beside = path.with_suffix(".yaml")
    source = config or (beside if beside.is_file() else None)
    if source is None:
        return SD15
    try:
        params = yaml.safe_load(source.read_text(encoding="utf-8"))["model"]["params"]
        return {key: params[key] for key in SD15 if key in params} | {
            key: params.get(key) for key in ("cond_stage_config", "parameterization")
        }
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{source} is not a checkpoint's configuration ({type(error).__name__}): expected YAML with model.params."
        ) from error


def find_tokenizer(path: Path, tokenizer: Path | None, params: Mapping[str, Any]) -> Path:
    """The folder given, or named by the configuration, or beside the checkpoint."""
    named = ((params.get("cond_stage_config") or {}).get("params") or {}).get("version")
    places = [tokenizer] if tokenizer else [*([Path(named)] if named else []), path.parent / "tokenizer"]
    for place in places:
        if (place / "vocab.json").is_file() or (place / "tokenizer.json").is_file():
            return place
    raise CheckpointError(
        f"No tokenizer for {path.name}: expected vocab.json and merges.txt in {' or '.join(map(str, places))};"
        " give --tokenizer the tokenizer folder of any SD1.5 checkpoint in diffusers' layout."
    )


def read_text_encoder(tensors: Mapping[str, Tensor], folder: Path) -> CLIPTextModel:
    """CLIP's text tower; its sizes are read off the shapes, its heads are 64 wide unless `folder` says otherwise."""
    own = {key.removeprefix(TEXT): value for key, value in tensors.items() if key.startswith(TEXT)}
    own = {key: value for key, value in own.items() if not key.endswith("position_ids")}
    model = CLIPTextModel(_text_config(own, folder))
    if "text_model.final_layer_norm.weight" not in model.state_dict():  # transformers 5 has one level less
        own = {key.removeprefix("text_model."): value for key, value in own.items()}
    model.load_state_dict(own)
    return model.eval()


def _text_config(own: Mapping[str, Tensor], folder: Path) -> CLIPTextConfig:
    vocabulary, width = own["text_model.embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig.from_pretrained(str(folder)) if (folder / "config.json").is_file() else CLIPTextConfig()
    same = config.hidden_size == width
    config.update(
        {
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": own["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
            "num_hidden_layers": len({key.split(".")[3] for key in own if ".layers." in key}),
            "num_attention_heads": config.num_attention_heads if same else max(1, width // 64),
            "max_position_embeddings": len(own["text_model.embeddings.position_embedding.weight"]),
        }
    )
    return config


def read_scheduler(params: Mapping[str, Any]) -> EulerDiscreteScheduler:
    """Euler over the noise levels that the configuration says."""
    return EulerDiscreteScheduler(
        num_train_timesteps=params.get("timesteps", 1000),
        beta_start=params.get("linear_start", 0.00085),
        beta_end=params.get("linear_end", 0.012),
        beta_schedule="scaled_linear",
        prediction_type="v_prediction" if params.get("parameterization") == "v" else "epsilon",
        timestep_spacing="leading",
        steps_offset=1,
    )
