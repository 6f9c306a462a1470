"""Folders with a tiny adapter of each kind and their encoder, and a checkpoint in either layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lib_ipadapter.model.variant import Kind
from tests.hosts.originals import original_text_encoder, write_original, write_tokenizer
from tests.models import save_adapter, tiny_adapter, tiny_encoder, tiny_pipeline


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("models")
    for kind in Kind:
        save_adapter(tiny_adapter(kind), home / "adapters" / f"{kind.value}.safetensors")
    tiny_encoder().save_pretrained(home / "encoder")
    return home


@pytest.fixture(scope="session")
def single_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With its YAML and a tokenizer beside it."""
    path = write_original(tmp_path_factory.mktemp("single") / "tiny.safetensors")
    write_tokenizer(path.parent / "tokenizer")
    return path


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """diffusers' layout."""
    home = tmp_path_factory.mktemp("folder") / "tiny"
    pipeline = tiny_pipeline()
    pipeline.save_pretrained(home)
    original_text_encoder().save_pretrained(home / "text_encoder")
    write_tokenizer(home / "tokenizer")
    index = json.loads((home / "model_index.json").read_text())
    index["tokenizer"] = ["transformers", "CLIPTokenizer"]
    (home / "model_index.json").write_text(json.dumps(index))
    return home
