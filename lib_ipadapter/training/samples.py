"""What the adapter draws now: references down the side, scales across, always from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from PIL import Image, ImageDraw
from torch import Tensor

from lib_ipadapter.hosts.diffusers_checkpoint import FOR_LATENTS
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.training.cache import NOTHING, Cache, batches, stacked, text_key
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.evaluate import FIRST
from lib_ipadapter.training.frozen import Frozen, Item, read_picture, square
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.stream import Stream

LABEL = 16
"""Pixels of the line above each column."""


@dataclass(frozen=True)
class Samples:
    """Draws grids for the same references again and again."""

    examples: Sequence[Example]
    cache: Cache
    frozen: Frozen
    config: TrainConfig

    @torch.no_grad()
    def grid(self, conditioner: Conditioner, injection: Injection) -> tuple[Image.Image, dict[str, float]]:
        """The picture, and how alike each column is to the references for the encoder (cosine of its embeddings)."""
        references = [square(read_picture(e.entry.reference), self.config.resolution)[0] for e in self.examples]
        columns = {"reference": references}
        for scale in self.config.scales:
            columns[f"scale {scale:g}"] = [
                picture
                for some in batches(self.examples, max(1, self.config.batch_size // 2))
                for picture in self._draw(some, scale, conditioner, injection)
            ]
        embeds = {name: self._embeds(pictures) for name, pictures in columns.items()}
        wanted = embeds.pop("reference")
        alike = {f"similarity/{n}": float(F.cosine_similarity(e, wanted).mean()) for n, e in embeds.items()}
        return sheet(columns), alike

    def _draw(
        self, examples: Sequence[Example], scale: float, conditioner: Conditioner, injection: Injection
    ) -> list[Image.Image]:
        """DDIM with classifier-free guidance; rows: without text and picture, then with."""
        items = [self._nothing(e) for e in examples] + [self._something(e) for e in examples]
        given = stacked(items, self.frozen.device)
        key_values = scaled(conditioner(given["features"].float()), scale)
        numbers = [FIRST + number for number in range(len(examples))]
        shape = (given.pop("moments").shape[1] // 2, *items[0]["moments"].shape[1:])
        latents = Stream(self.config.seed, 1, 1).noise(numbers, shape)[0].to(self.frozen.device)
        injection.set(key_values)
        scheduler = self._scheduler()
        for timestep in scheduler.timesteps:
            steps = timestep.repeat(len(items)).to(self.frozen.device)
            without, with_ = self.frozen.predict(torch.cat([latents, latents]), steps, given).chunk(2)
            answer = without + self.config.guidance * (with_ - without)
            latents = scheduler.step(answer, timestep, latents, return_dict=False)[0]
        return self.frozen.decode(latents)

    def _scheduler(self) -> Any:
        own = self.frozen.pipeline.scheduler.config
        more = {**FOR_LATENTS, "steps_offset": 1, "timestep_spacing": "leading"}
        scheduler: Any = DDIMScheduler.from_config({**own, **more})
        scheduler.set_timesteps(self.config.sample_steps)
        return scheduler

    def _something(self, example: Example) -> Item:
        prompt = self.config.sample_prompt
        text = example.entry.text if prompt is None else prompt
        return {**self.cache.of(example), **self.cache.texts.get(text_key(text))}

    def _nothing(self, example: Example) -> Item:
        return {**self.cache.of(example, text=False), **self.cache.features.get(NOTHING)}

    def _embeds(self, pictures: Sequence[Image.Image]) -> Tensor:
        items = self.frozen.encode_features(pictures, Feature.IMAGE_EMBEDS)
        return torch.stack([item["features"].float() for item in items])


def scaled(key_values: Sequence[KeyValue], scale: float) -> list[KeyValue]:
    """``scale * Attention(Q, K', V')`` is ``Attention(Q, K', scale * V')``."""
    return [KeyValue(kv.key, kv.value * scale) for kv in key_values]


def sheet(columns: dict[str, list[Image.Image]]) -> Image.Image:
    """Columns side by side, each with its name above it."""
    side = next(iter(columns.values()))[0].width
    rows = max(map(len, columns.values()))
    canvas = Image.new("RGB", (side * len(columns), LABEL + side * rows), "white")
    pen = ImageDraw.Draw(canvas)
    for across, (name, pictures) in enumerate(columns.items()):
        pen.text((across * side + 3, 2), name, fill="black")
        for down, picture in enumerate(pictures):
            canvas.paste(picture.resize((side, side)), (across * side, LABEL + down * side))
    return canvas
