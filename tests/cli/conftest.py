"""Checkpoints in both layouts, and adapters with their encoder that fit them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_ipadapter.hosts.diffusers_checkpoint import read_pipeline
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from tests.hosts.conftest import folder, single_file
from tests.models import save_adapter, tiny_adapter, tiny_encoder

__all__ = ["folder", "single_file"]


@pytest.fixture(scope="session")
def adapters(single_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("adapters")
    unet = read_pipeline(single_file, torch.device("cpu"), torch.float32).unet
    for kind in (*PICTURE_KINDS, Kind.FACEID, Kind.FACEID_PLUS_V2):
        save_adapter(tiny_adapter(kind, unet=unet), home / f"{kind.value}.safetensors")
    return home


@pytest.fixture(scope="session")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("encoders") / "tiny"
    tiny_encoder().save_pretrained(home)
    return home
