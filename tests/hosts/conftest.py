"""Folders with a tiny adapter of each kind and their encoder, and a checkpoint in either layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_ipadapter.hosts.diffusers_checkpoint import read_pipeline
from lib_ipadapter.model.variant import PICTURE_KINDS
from tests.models import save_adapter, tiny_adapter, tiny_encoder


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    for kind in PICTURE_KINDS:
        save_adapter(tiny_adapter(kind), home / "adapters" / f"{kind.value}.safetensors")
    tiny_encoder().save_pretrained(home / "encoder")
    return home


@pytest.fixture(scope="session")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its YAML and a tokenizer beside it."""
    from tests.hosts.originals import write_original, write_tokenizer  # ldm speaks when it is imported

    path = write_original(tmp_path_factory.mktemp("single") / "tiny.safetensors")
    write_tokenizer(path.parent / "tokenizer")
    return path


@pytest.fixture(scope="session")
def sdxl_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of SDXL's structure."""
    from tests.hosts.originals import write_tokenizer
    from tests.hosts.originals_sdxl import write_sdxl

    path = write_sdxl(tmp_path_factory.mktemp("sdxl") / "tiny.safetensors")
    write_tokenizer(path.parent / "tokenizer")
    return path


@pytest.fixture(scope="session")
def folder(single_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in diffusers' layout."""
    home = tmp_path_factory.mktemp("folder") / "tiny"
    read_pipeline(single_file, torch.device("cpu"), torch.float32).save_pretrained(home)
    return home
