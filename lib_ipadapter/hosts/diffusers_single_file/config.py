"""The sizes of a single-file checkpoint, as its original YAML says them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.variant import Base

AUTOENCODER: dict[str, Any] = {
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
}
"""SD1.5's and SDXL's are built alike."""

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
    "first_stage_config": AUTOENCODER,
}
"""What the original v1-inference.yaml says under model.params, as far as anybody reads it."""

SDXL: dict[str, Any] = {
    "scale_factor": 0.13025,
    "denoiser_config": {
        "params": {
            "num_idx": 1000,
            "scaling_config": {"target": "sgm.modules.diffusionmodules.denoiser_scaling.EpsScaling"},
            "discretization_config": {"params": {"linear_start": 0.00085, "linear_end": 0.012}},
        }
    },
    "network_config": {
        "params": {
            "adm_in_channels": 2816,
            "num_classes": "sequential",
            "in_channels": 4,
            "out_channels": 4,
            "model_channels": 320,
            "attention_resolutions": [4, 2],
            "num_res_blocks": 2,
            "channel_mult": [1, 2, 4],
            "num_head_channels": 64,
            "use_linear_in_transformer": True,
            "transformer_depth": [1, 2, 10],
            "context_dim": 2048,
        }
    },
    "first_stage_config": AUTOENCODER,
}
"""The same of sd_xl_base.yaml, and the betas that sgm's LegacyDDPMDiscretization has by default."""

OWN = {Base.SD15: SD15, Base.SDXL: SDXL}
UNET_CONFIG = {Base.SD15: "unet_config", Base.SDXL: "network_config"}
"""ldm's name and sgm's; what a YAML for this family must have."""

OPTIONAL = ("cond_stage_config", "conditioner_config", "parameterization", "image_size")
"""What a YAML may say besides: where the tokenizer is, SD1.5's v-prediction, and how large its pictures are."""


def read_config(path: Path, config: Path | None, base: Base) -> dict[str, Any]:
    """``model.params`` of the YAML given, or beside the checkpoint, or of the family. Raises `CheckpointError`."""
    beside = path.with_suffix(".yaml")
    source = config or (beside if beside.is_file() else None)
    if source is None:
        return OWN[base]
    try:
        params = yaml.safe_load(source.read_text(encoding="utf-8"))["model"]["params"]
        own = {"first_stage_config": AUTOENCODER, "scale_factor": OWN[base]["scale_factor"]}
        needed = {UNET_CONFIG[base]: params[UNET_CONFIG[base]]}
        return own | {key: params[key] for key in (*OWN[base], *OPTIONAL) if key in params} | needed
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{source} is not the configuration of an {base.label} checkpoint ({type(error).__name__}):"
            f" expected YAML with model.params.{UNET_CONFIG[base]}."
        ) from error


def dig(params: Any, *keys: str | int) -> Any:
    """The value below `keys`; None where there is no such place."""
    for key in keys:
        try:
            params = params[key]
        except (KeyError, IndexError, TypeError):
            return None
    return params
