"""Key -> shape of every published file (tests/shapes), and files with such a header of which nothing is on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

SHAPES = Path(__file__).parent / "shapes"

Shapes = dict[str, tuple[int, ...]]


def recorded(name: str) -> Shapes:
    return {key: tuple(shape) for key, shape in json.loads((SHAPES / f"{name}.json").read_text()).items()}


def sparse(path: Path, shapes: Mapping[str, Sequence[int]], metadata: Mapping[str, str] | None = None) -> Path:
    """A safetensors file with a true header and as large as it says, of which nothing is on the disk."""
    header: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for key, shape in shapes.items():
        size = 4 * torch.Size(shape).numel()
        header[key] = {"dtype": "F32", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text)
    os.truncate(path, 8 + len(text) + end)
    return path
