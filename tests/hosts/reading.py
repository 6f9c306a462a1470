"""Checkpoints opened as `generate` and `train` open them, and what is said where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.hosts.diffusers_checkpoint import Beside, read_pipeline

CPU = torch.device("cpu")


def read(path: Path, dtype: torch.dtype = torch.float32, **beside: Path) -> Any:
    return read_pipeline(path, CPU, dtype, Beside(**beside))


def refusal(path: Path, **beside: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path, **beside)
    assert "\n" not in str(caught.value)
    return str(caught.value)
