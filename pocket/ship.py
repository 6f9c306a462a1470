"""Where the weights are, and how they are written: half precision, layouts that everybody reads."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import torch
import yaml
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.weights_file import sha256, write
from lib_ipadapter.training.frozen import to_pixels
from pocket import original
from pocket.draw import draw
from pocket.scenes import sample_scene
from pocket.vae import harden, make_vae, settle

WEIGHTS = Path(__file__).parent / "weights"
CHECKPOINT = WEIGHTS / "pocket.safetensors"
TOKENIZER = WEIGHTS / "tokenizer"
ENCODER = WEIGHTS / "encoder"


def adapter_path(kind: Kind) -> Path:
    """Of a trained adapter."""
    return WEIGHTS / f"ip-adapter_pocket_{kind.value}.safetensors"


def contents(*kinds: Kind) -> dict[str, str]:
    """What was measured with: name of a file -> its SHA-256, of the models and of the adapters of `kinds`."""
    files = [CHECKPOINT, ENCODER / "model.safetensors", *map(adapter_path, kinds)]
    return {str(path.relative_to(WEIGHTS)): sha256(path) for path in files}


def adapter(kind: Kind, trained: Path) -> Path:
    """The trainer's file as it is."""
    return Path(shutil.copyfile(trained, adapter_path(kind)))


def tokenizer() -> CLIPTokenizer:
    """CLIP's own."""
    return CLIPTokenizer.from_pretrained(str(TOKENIZER), local_files_only=True)


def finish_vae(vae: AutoencoderKL, path: Path) -> None:
    """As ldm runs it: its eps, its scale."""
    lot = random.Random(0)
    harden(vae)
    pixels = torch.cat([to_pixels(draw(sample_scene(lot))) for _ in range(64)])
    settle(vae, pixels.to(next(vae.parameters()).device))
    write(path, vae.state_dict())


def read_vae(path: Path) -> AutoencoderKL:
    """What `finish_vae` wrote."""
    vae = make_vae()
    vae.load_state_dict(load_file(path))
    return vae.requires_grad_(False).eval()


def vision(model: CLIPVisionModelWithProjection) -> None:
    """A folder in transformers' layout."""
    ENCODER.mkdir(parents=True, exist_ok=True)
    _write_config(model, ENCODER)
    write(ENCODER / "model.safetensors", half_precision(dict(model.state_dict())))


def checkpoint(unet: nn.Module, vae: nn.Module, text: CLIPTextModel) -> None:
    """The single file, its YAML, and the text tower's sizes beside the tokenizer."""
    WEIGHTS.mkdir(exist_ok=True)
    write(CHECKPOINT, half_precision(original.to_original(unet, vae, text)))
    CHECKPOINT.with_suffix(".yaml").write_text(
        yaml.safe_dump(original.config("tokenizer"), sort_keys=False), encoding="utf-8"
    )
    _write_config(text, TOKENIZER)


def _write_config(model: CLIPVisionModelWithProjection | CLIPTextModel, folder: Path) -> None:
    """Without what says only which transformers wrote it."""
    config = model.config.to_dict() | {"architectures": [type(model).__name__]}
    kept = {key: value for key, value in config.items() if key not in ("dtype", "transformers_version")}
    (folder / "config.json").write_text(json.dumps(kept, indent=1, default=str) + "\n", encoding="utf-8")


def half_precision(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """In float16."""
    return {key: value.to(torch.float16) for key, value in tensors.items()}
