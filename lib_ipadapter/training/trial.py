"""A step of blank pictures, tried before hours of encoding: whether the batch fits the GPU."""

from __future__ import annotations

import math
from pathlib import Path

from torch import Tensor

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.training.cache import NOTHING, Cache, text_key
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.entries import Entry
from lib_ipadapter.training.estimate import estimate
from lib_ipadapter.training.frozen import Frozen
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.objective import Batch, Batches, losses
from lib_ipadapter.training.store import Store
from lib_ipadapter.training.stream import Stream


def check_step(config: TrainConfig, frozen: Frozen, adapter: IPAdapter) -> None:
    """Moves `adapter` to the device and changes nothing else. Raises `TrainingError` where a step does not fit."""
    assert adapter.variant.feature is not None, "only adapters with an image encoder are trained"
    trained, injection = Conditioner(adapter).to(frozen.device), Injection(frozen.unet)
    batch = blank(config, frozen, adapter.variant.feature)

    def loss() -> Tensor:
        return losses(frozen, injection, trained, batch).mean()

    with injection:
        estimate(frozen=frozen, trained=trained, loss=loss, cached=0, steps=0, config=config, resumed=False)


def blank(config: TrainConfig, frozen: Frozen, feature: Feature) -> Batch:
    """As many rows as a step has, each of a black picture without reference and text: memory knows no difference."""
    stores = [Store(None, math.inf) for _ in range(3)]
    for store, key, item in zip(
        stores, (NOTHING, NOTHING, text_key("")), frozen.blank(config.resolution, feature), strict=True
    ):
        store.put(key, item)
    example = Example(Entry(NOTHING, Path(), ""), NOTHING, NOTHING)
    source = Batches([example], Cache(*stores), Stream(config.seed, 1, len(frozen.alphas)), frozen)
    return source.at(range(config.batch_size))
