"""The CLIP vision tower: its global embedding is taught to tell everything that a scene is made of."""

from __future__ import annotations

import random

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lib_ipadapter.model.picture import pixel_values
from pocket.draw import draw
from pocket.scenes import BACKGROUNDS, COLOURS, PLACES, SHAPES, SIZE, SIZES, STYLES, TEXTURES, Scene, sample_scene

BATCH = 48

THING = {"shape": SHAPES, "colour": tuple(COLOURS), "texture": TEXTURES, "size": SIZES, "place": PLACES}
WHOLE = {"background": tuple(BACKGROUNDS), "style": STYLES}


def make_vision() -> CLIPVisionModelWithProjection:
    """128 pixels, 64 patches, 96 wide."""
    config = CLIPVisionConfig(
        hidden_size=96,
        intermediate_size=384,
        projection_dim=96,
        num_hidden_layers=5,
        num_attention_heads=4,
        image_size=SIZE,
        patch_size=16,
    )
    return CLIPVisionModelWithProjection(config)


class Reader(nn.Module):
    """The tower with one linear head per attribute on its normalised global embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.vision = make_vision()
        sizes = [len(values) + 1 for values in THING.values()] * 2 + [len(values) for values in WHOLE.values()]
        self.sizes = sizes
        self.head = nn.Linear(self.vision.config.projection_dim, sum(sizes))
        self.gain = nn.Parameter(torch.tensor(10.0))

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """Pixels ``[n, 3, SIZE, SIZE]``, normalised -> scores of each attribute's values."""
        embeds = F.normalize(self.vision(pixels).image_embeds, dim=-1)
        return list(self.head(embeds * self.gain).split(self.sizes, dim=-1))


def labels(scene: Scene) -> list[int]:
    """Number of each attribute's value: the left thing's, the right one's (0 where there is none), the picture's."""
    found: list[int] = []
    for place in range(2):
        thing = scene.things[place] if place < len(scene.things) else None
        found += [values.index(getattr(thing, name)) + 1 if thing else 0 for name, values in THING.items()]
    return found + [values.index(getattr(scene, name)) for name, values in WHOLE.items()]


def vision_loss(model: nn.Module, lot: random.Random) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy over all attributes; `right` is the share read rightly."""
    device = next(model.parameters()).device
    scenes = [sample_scene(lot) for _ in range(BATCH)]
    pixels = torch.cat([pixel_values(draw(scene)) for scene in scenes]).to(device)
    pixels = pixels + 0.1 * torch.rand(BATCH, 1, 1, 1, device=device) * torch.randn_like(pixels)
    wanted = torch.tensor([labels(scene) for scene in scenes], device=device)
    scores = model(pixels)
    losses = [F.cross_entropy(score, wanted[:, place]) for place, score in enumerate(scores)]
    right = torch.stack([(score.argmax(-1) == wanted[:, place]).float().mean() for place, score in enumerate(scores)])
    numbers = {"right": float(right.mean()), "shape": float(right[0]), "texture": float(right[2])}
    return torch.stack(losses).mean(), numbers
