"""A run on a single file of SDXL's structure: both texts, the pooled one and the sizes come from it."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Base, Kind
from lib_ipadapter.training.frozen import Frozen
from lib_ipadapter.training.run import train
from tests.hosts.conftest import sdxl_file
from tests.training.world import config

__all__ = ["sdxl_file"]


def test_a_single_file_of_sdxl_is_trained_on(sdxl_file: Path, world: Path, tmp_path: Path) -> None:
    run = config(world, tmp_path, checkpoint=sdxl_file, kind=Kind.PLUS, steps=3, sample_every=3, sample_steps=2)
    train(run, lambda _: None)
    adapter = IPAdapter.read(tmp_path / "adapter.safetensors")
    assert (adapter.variant.base, adapter.variant.kind) == (Base.SDXL, Kind.PLUS)
    assert all(torch.isfinite(parameter).all() for parameter in adapter.parameters())
    with Image.open(tmp_path / "samples" / "00000003.png") as sheet:
        assert sheet.size == (4 * 64, 4 * 64 + 16)


def test_its_texts_are_as_wide_as_its_unet_wants(sdxl_file: Path, world: Path, tmp_path: Path) -> None:
    frozen = Frozen.read(config(world, tmp_path, checkpoint=sdxl_file), torch.device("cpu"))
    (found,) = frozen.encode_texts(["a cat"])
    assert found["text"].shape == (77, frozen.unet.config.cross_attention_dim)
    assert found["pooled"].shape == (frozen.pipeline.text_encoder_2.config.projection_dim,)
