"""The trainer needs more than the WebUI has; where accelerate is missing there is nothing to test."""

import importlib.util
from pathlib import Path

import pytest

if importlib.util.find_spec("accelerate") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``checkpoint``, ``encoder`` and ``data``."""
    from tests.training.world import save_checkpoint, save_encoder, save_pictures

    folder = tmp_path_factory.mktemp("world")
    save_checkpoint(folder / "checkpoint", "v_prediction")
    save_encoder(folder / "encoder")
    save_pictures(folder / "data")
    return folder
