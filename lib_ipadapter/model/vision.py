"""The image encoder: CLIP's vision tower, frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lib_ipadapter.errors import CheckpointError, reason, unreadable
from lib_ipadapter.maths.precision import finite, visiting
from lib_ipadapter.model.encoder_files import read_config, read_tensors
from lib_ipadapter.model.encoder_sizes import EncoderSizes
from lib_ipadapter.model.picture import encoder_view, pixel_values
from lib_ipadapter.model.variant import Feature

Staged = dict[str, Tensor]
"""Name of each parameter and buffer -> its copy on the device."""


@dataclass(frozen=True)
class ImageFeatures:
    """What one pass of the encoder gives, and all that any adapter needs of a picture."""

    image_embeds: Tensor
    """``[rows, projection_dim]``; of one picture at a time, unless training encodes a batch."""
    hidden_states: Tensor
    """The last-but-one layer, ``[rows, 1 + patches, hidden_size]``, without the final norm."""

    def get(self, feature: Feature) -> Tensor:
        """The part that an adapter asks for."""
        return getattr(self, feature.value)

    @property
    def finite(self) -> bool:
        """No value is infinite, and each is a number."""
        return finite(self.image_embeds, self.hidden_states)

    @property
    def nbytes(self) -> int:
        """Memory taken, in bytes."""
        return self.image_embeds.nbytes + self.hidden_states.nbytes


class ImageEncoder:
    """A CLIP vision tower with its projection.

    It rests on the CPU and goes to the device for as long as it encodes only:
    2.5 GB of ViT-H are needed for a moment once per unit.
    """

    def __init__(self, model: CLIPVisionModelWithProjection) -> None:
        self.model: nn.Module = model.requires_grad_(False).eval()
        config = model.config.to_dict()
        self.sizes = EncoderSizes.of(config)
        self.image_size: int = config["image_size"]

    @classmethod
    def read(cls, path: Path) -> ImageEncoder:
        """From a folder or a single file, in transformers' layout or open_clip's. Raises `CheckpointError`."""
        try:
            model = _build(read_config(path), read_tensors(path), path)
        except CheckpointError:
            raise
        except Exception as error:
            what = f"image encoder {path.name}"
            broken = f"The {what} cannot be read ({reason(error)}); download it again."
            raise unreadable(error, f"the {what}", broken) from error
        return cls(model)

    def stage(self, device: torch.device, dtype: torch.dtype) -> Staged:
        """The weights where, and in what, they compute, for as long as the result is kept."""
        # Copies, which are dropped there: nothing has to come back, nothing is rounded for good.
        weights = {name: visiting(p, device, dtype) for name, p in self.model.named_parameters()}
        return weights | {name: b.to(device) for name, b in self.model.named_buffers()}

    def encode(
        self, image: Image.Image, device: torch.device, dtype: torch.dtype, staged: Staged | None = None
    ) -> ImageFeatures:
        """Features of a picture, on the CPU in float32. `staged`: what `stage` gave, for more than one picture."""
        return self._run(pixel_values(encoder_view(image, self.image_size)), device, dtype, staged)

    def encode_zeros(self, device: torch.device, dtype: torch.dtype, staged: Staged | None = None) -> ImageFeatures:
        """Features of a zero pixel tensor: zero after normalisation, which is a mid grey, not black."""
        return self._run(torch.zeros(1, 3, self.image_size, self.image_size), device, dtype, staged)

    def _run(self, pixels: Tensor, device: torch.device, dtype: torch.dtype, staged: Staged | None) -> ImageFeatures:
        """One picture at a time: so its features are the same, to the last bit, whatever others there are."""
        weights = self.stage(device, dtype) if staged is None else staged
        with torch.no_grad():
            inputs = (pixels.to(device, dtype),)
            out = torch.func.functional_call(self.model, weights, inputs, {"output_hidden_states": True})
        found = features_in(out)
        return ImageFeatures(found.image_embeds.float().cpu(), found.hidden_states.float().cpu())

    @property
    def nbytes(self) -> int:
        """Memory that the weights take, in bytes."""
        return sum(p.nbytes for p in self.model.parameters())


def features_in(out: Any) -> ImageFeatures:
    """What the tower's answer with all hidden states holds for adapters, as it is."""
    return ImageFeatures(out.image_embeds, out.hidden_states[-2])


def _build(config: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> CLIPVisionModelWithProjection:
    """Built without first drawing random numbers for 632 million weights.

    Not by transformers' own loader: it would open a pickle with whatever ``torch.load`` is in the WebUI.
    """
    full = CLIPVisionConfig(**config)
    last = f"vision_model.encoder.layers.{full.num_hidden_layers - 1}.layer_norm1.weight"
    if last not in tensors:  # before a million layers are built because a configuration says so
        raise CheckpointError(f"The image encoder {path.name} is incomplete: {last} is missing.")
    with torch.device("meta"):
        model = CLIPVisionModelWithProjection(full)
    _check(dict(model.named_parameters()), tensors, path)
    model.load_state_dict(tensors, strict=False, assign=True)
    for module in model.modules():
        if "position_ids" in dict(module.named_buffers(recurse=False)):
            module.position_ids = torch.arange(module.position_ids.shape[-1])[None]  # pyright: ignore
    return model


def _check(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Unexpected keys are harmless; what is missing would be random numbers.

    Buffers (`position_ids`) may be missing: older files hold them, newer code does not, and the other way round.
    """
    for key, parameter in sorted(wanted.items()):
        if key not in tensors:
            raise CheckpointError(f"The image encoder {path.name} is incomplete: {key} is missing.")
        found = tensors[key]
        if found.shape != parameter.shape:
            raise CheckpointError(
                f"The image encoder {path.name} contradicts itself: {key} should be {list(parameter.shape)}"
                f" and is {list(found.shape)}; its config.json may belong to another encoder."
            )
        if not found.is_floating_point():
            raise CheckpointError(
                f"The image encoder {path.name} is damaged: {key} holds {found.dtype}, not floating point."
            )
