"""The image encoder: CLIP's vision tower, frozen."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import checkpoint
from lib_ipadapter.model.picture import encoder_view, pixel_values
from lib_ipadapter.model.variant import Feature, Variant

HEADS = {1280: 16, 1664: 16, 1024: 16}
"""Hidden width -> attention heads of ViT-H, ViT-bigG and ViT-L, which no tensor shape tells."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""File names that transformers looks for in a folder."""


@dataclass(frozen=True)
class ImageFeatures:
    """What one pass of the encoder gives, and all that any adapter needs of a picture."""

    image_embeds: Tensor
    """``[1, projection_dim]``"""
    hidden_states: Tensor
    """The last-but-one layer, ``[1, 1 + patches, hidden_size]``, without the final norm."""

    def get(self, feature: Feature) -> Tensor:
        """The part that an adapter asks for."""
        return getattr(self, feature.value)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.image_embeds.nbytes + self.hidden_states.nbytes


@dataclass(frozen=True)
class EncoderSizes:
    """What an encoder's configuration tells an adapter."""

    hidden_size: int
    projection_dim: int
    grid: int
    """Places of the hidden states: one for the whole picture, and one for each patch."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> EncoderSizes:
        """Those of a CLIP vision tower with this configuration."""
        patches = (config["image_size"] // config["patch_size"]) ** 2
        return cls(config["hidden_size"], config["projection_dim"], 1 + patches)

    def width(self, feature: Feature) -> int:
        """Of what the encoder gives as `feature`."""
        return {Feature.IMAGE_EMBEDS: self.projection_dim, Feature.HIDDEN_STATES: self.hidden_size}[feature]

    def fits(self, variant: Variant) -> bool:
        """Whether the encoder gives features as wide as the adapter was trained on."""
        return variant.features == self.width(variant.feature)

    def tokens(self, variant: Variant) -> int:
        """Image tokens per picture that an adapter makes of this encoder's features."""
        return self.grid if variant.tokens is None else variant.tokens


class ImageEncoder:
    """A CLIP vision tower with its projection.

    It rests on the CPU and goes to the device for each `encode` only:
    2.5 GB of ViT-H are needed for a moment once per picture.
    """

    def __init__(self, model: CLIPVisionModelWithProjection) -> None:
        self.model: nn.Module = model.requires_grad_(False).eval()
        config = model.config.to_dict()
        self.sizes = EncoderSizes.of(config)
        self.image_size: int = config["image_size"]

    @classmethod
    def read(cls, path: Path) -> ImageEncoder:
        """From a folder in transformers' layout, or a single file of its state dict. Raises `CheckpointError`."""
        try:
            model = _from_folder(path) if path.is_dir() else _from_file(path)
        except CheckpointError:
            raise
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CheckpointError(
                f"The image encoder {path.name} cannot be read ({reason}); download it again."
            ) from error
        return cls(model)

    def encode(self, image: Image.Image, device: torch.device, dtype: torch.dtype) -> ImageFeatures:
        """Features of a picture, on the CPU in float32."""
        return self._run(pixel_values(encoder_view(image, self.image_size)), device, dtype)

    def encode_zeros(self, device: torch.device, dtype: torch.dtype) -> ImageFeatures:
        """Features of a zero pixel tensor: zero after normalisation, which is a mid grey, not black."""
        return self._run(torch.zeros(1, 3, self.image_size, self.image_size), device, dtype)

    def _run(self, pixels: Tensor, device: torch.device, dtype: torch.dtype) -> ImageFeatures:
        # Copies go to the device and are dropped there: nothing has to come back, nothing is rounded for good.
        weights = {name: p.to(device, dtype) for name, p in self.model.named_parameters()}
        buffers = {name: b.to(device) for name, b in self.model.named_buffers()}
        with torch.no_grad():
            inputs = (pixels.to(device, dtype),)
            out = torch.func.functional_call(self.model, weights | buffers, inputs, {"output_hidden_states": True})
        return ImageFeatures(out.image_embeds.float().cpu(), out.hidden_states[-2].float().cpu())

    @property
    def nbytes(self) -> int:
        """Memory that the weights take, in bytes."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())


def read_sizes(path: Path) -> EncoderSizes:
    """The sizes of the encoder at `path`, without loading it. Raises `CheckpointError` when it is none."""
    try:
        return EncoderSizes.of(_folder_config(path) if path.is_dir() else _file_config(path))
    except CheckpointError:
        raise
    except (OSError, AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(f"{path.name} is not a CLIP image encoder ({type(error).__name__}).") from error


def is_encoder_folder(path: Path) -> bool:
    """A folder that transformers could load."""
    return (path / "config.json").is_file() and any((path / name).is_file() for name in WEIGHTS)


def _from_folder(path: Path) -> CLIPVisionModelWithProjection:
    """Not by transformers' own loader: it would open a pickle with whatever ``torch.load`` is in the WebUI."""
    weights = next(path / name for name in WEIGHTS if (path / name).is_file())
    return _build(_folder_config(path), checkpoint.read_any(weights), path)


def _from_file(path: Path) -> CLIPVisionModelWithProjection:
    return _build(_file_config(path), checkpoint.read_any(path), path)


def _build(config: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> CLIPVisionModelWithProjection:
    """Built without first drawing random numbers for 632 million weights."""
    with torch.device("meta"):
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    found = model.load_state_dict(tensors, strict=False, assign=True)
    _check_complete(found.missing_keys, path)
    for module in model.modules():
        if "position_ids" in dict(module.named_buffers(recurse=False)):
            module.position_ids = torch.arange(module.position_ids.shape[-1])[None]  # pyright: ignore
    return model


def _check_complete(missing_keys: Iterable[str], path: Path) -> None:
    """Unexpected keys are harmless; what is missing would be random numbers.

    Only `position_ids` may be: older files hold this buffer, newer code does not, and the other way round.
    """
    missing = sorted(key for key in missing_keys if not key.endswith("position_ids"))
    if missing:
        raise CheckpointError(f"The image encoder {path.name} is incomplete: {missing[0]} is missing.")


def _folder_config(path: Path) -> Mapping[str, Any]:
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config = config.get("vision_config", config)
    if "hidden_size" not in config or "patch_size" not in config:
        raise CheckpointError(f"{path.name} is not a CLIP image encoder: its config.json is for another model.")
    return {**{name: getattr(CLIPVisionConfig(), name) for name in ("projection_dim", "image_size")}, **config}


def _file_config(path: Path) -> Mapping[str, Any]:
    """CLIP's configuration, read off the shapes in a file's header."""
    shapes = checkpoint.read_any_shapes(path)
    if "visual_projection.weight" not in shapes:
        raise CheckpointError(f"{path.name} is not a CLIP image encoder: it has no visual_projection.weight.")
    projection, hidden = shapes["visual_projection.weight"]
    if hidden not in HEADS:
        raise CheckpointError(
            f"{path.name} is an image encoder of unknown size ({hidden} wide): put it in a folder with its config.json."
        )
    patch = shapes["vision_model.embeddings.patch_embedding.weight"][-1]
    grid = round((shapes["vision_model.embeddings.position_embedding.weight"][0] - 1) ** 0.5)
    return {
        "hidden_size": hidden,
        "projection_dim": projection,
        "patch_size": patch,
        "image_size": grid * patch,
        "num_hidden_layers": len({k.split(".")[3] for k in shapes if k.startswith("vision_model.encoder.layers.")}),
        "num_attention_heads": HEADS[hidden],
        "intermediate_size": shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
        # OpenAI trained ViT-L with the quick form, OpenCLIP the larger towers with the exact one.
        "hidden_act": "quick_gelu" if hidden == 1024 else "gelu",
    }
