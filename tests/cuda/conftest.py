"""What only a CUDA device can show. Where there is none, or no accelerate, there is nothing to test here."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from tests.training.conftest import world

__all__ = ["world"]

if not torch.cuda.is_available() or importlib.util.find_spec("accelerate") is None:
    collect_ignore_glob = ["test_*.py"]


def pytest_report_header() -> str:
    """Why nothing is collected, to whoever asks for this folder alone."""
    if torch.cuda.is_available():
        return f"CUDA: {torch.cuda.get_device_name()}, torch {torch.__version__}"
    return "CUDA: there is no device, so tests/cuda is left out"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What torch, accelerate and DeepSpeed say of a machine with a GPU is no error: it changes from one to another."""
    for item in items:
        if "tests/cuda/" in item.nodeid:
            item.add_marker(pytest.mark.filterwarnings("default"))


@pytest.fixture
def device() -> torch.device:
    """With its index, as tensors name it."""
    return torch.device("cuda", 0)


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """float32 is float32: convolutions are computed in TF32 otherwise, a thousandth off."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
