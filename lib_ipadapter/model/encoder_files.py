"""Image encoders on disk: a folder or a single file, found by what is in it, never by its name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPVisionConfig

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import encoder_dialects, weights_file

HEADS = {1024: 16, 1280: 16, 1664: 16}
"""Hidden width -> attention heads of ViT-L, ViT-H and ViT-bigG (64, 80 and 104 wide), which no tensor shape tells."""

WEIGHTS = ("model.safetensors", "pytorch_model.bin", "model.fp16.safetensors")
"""File names that transformers looks for in a folder; each may be the beginning of an index of several files."""

FORMS = re.compile(r"(pytorch_)?model[-.]")
"""How every file begins that transformers would take as a folder's weights, or as a part of them."""

INDEX_LIMIT = 16 << 20
"""Bytes. That of ViT-bigG has 0.1 MB."""


def encoder_parts(path: Path) -> set[Path]:
    """Files of the encoder that the folder at `path` is, damaged or not; none where it is no encoder's folder."""
    config = path / "config.json"
    try:
        weights = _weights(path) if config.is_file() else []
    except (CheckpointError, OSError):  # lists name the folder then, and `read_config` says what is wrong with it
        weights = [config]
    # Beside the weights that are read there are often the same in another form, which are no further encoder.
    return {config, *weights, *(file for file in path.iterdir() if FORMS.match(file.name))} if weights else set()


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The vision tower at `path` under transformers' names, on the CPU, in the file's dtype; its text model dropped."""
    files = _weights(path) if path.is_dir() else [path]
    if not files:
        raise CheckpointError(f"{path.name} is not an image encoder: beside its config.json there are no weights.")
    return encoder_dialects.read({key: t for file in files for key, t in weights_file.read_any(file).items()})


def read_config(path: Path) -> Mapping[str, Any]:
    """CLIP's configuration of the encoder at `path`, without loading it. Raises `CheckpointError` when it is none."""
    if path.is_dir():
        _weights(path)  # An index that leads nowhere is told before anything is loaded.
        return _folder_config(path)
    return _file_config(path)


def _weights(folder: Path) -> list[Path]:
    """By transformers' names, or, whatever its name, the only weights in there."""
    for name in WEIGHTS:
        if (folder / name).is_file():
            return [folder / name]
        if (index := folder / f"{name}.index.json").is_file():
            return _shards(index)
    found = [file for file in folder.iterdir() if file.suffix.lower() in weights_file.SUFFIXES and file.is_file()]
    return found if len(found) == 1 else []


def _shards(index: Path) -> list[Path]:
    """The files of an index. It may come from anywhere, so it leads to files beside it and nowhere else."""
    if index.stat().st_size > INDEX_LIMIT:
        raise CheckpointError(f"{index.name} is no index of weights: it has over {INDEX_LIMIT >> 20} MB.")
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise CheckpointError(f"{index.name} is no index of weights, or damaged; download it again.") from None
    if outside := [name for name in names if not isinstance(name, str) or Path(name).name != name or "\\" in name]:
        raise CheckpointError(f"{index.name} names a file outside its folder ({str(outside[0])[:40]!r}).")
    return [index.with_name(name) for name in names]


def _folder_config(path: Path) -> Mapping[str, Any]:
    whole = json.loads((path / "config.json").read_text(encoding="utf-8"))
    config = whole.get("vision_config", whole)
    if "hidden_size" not in config or "patch_size" not in config:
        raise CheckpointError(f"{path.name} is not a CLIP image encoder: its config.json is for another model.")
    usual = {name: getattr(CLIPVisionConfig(), name) for name in ("projection_dim", "image_size")}
    # A whole CLIP says beside its two towers how wide both are projected, and never reads what a tower says of that.
    shared = {name: value for name, value in whole.items() if name == "projection_dim"}
    return {**usual, **config, **shared}


def _file_config(path: Path) -> Mapping[str, Any]:
    """CLIP's configuration, read off the shapes in a file's header."""
    with torch.device("meta"):
        header = {key: torch.empty(shape) for key, shape in weights_file.read_any_shapes(path).items()}
    shapes = {key: tuple(tensor.shape) for key, tensor in encoder_dialects.read(header).items()}
    if "visual_projection.weight" not in shapes:
        lacks = "visual_projection.weight" if shapes else "vision tower"
        raise CheckpointError(f"{path.name} is not a CLIP image encoder: it has no {lacks}.")
    projection, hidden = shapes["visual_projection.weight"]
    if hidden not in HEADS:
        raise CheckpointError(
            f"{path.name} is an image encoder of unknown size ({hidden} wide): put it in a folder with its config.json."
        )
    patch = shapes[encoder_dialects.OURS][-1]
    grid = round((shapes["vision_model.embeddings.position_embedding.weight"][0] - 1) ** 0.5)
    return {
        "hidden_size": hidden,
        "projection_dim": projection,
        "patch_size": patch,
        "image_size": grid * patch,
        "num_hidden_layers": len({k.split(".")[3] for k in shapes if k.startswith("vision_model.encoder.layers.")}),
        "num_attention_heads": HEADS[hidden],
        "intermediate_size": shapes["vision_model.encoder.layers.0.mlp.fc1.weight"][0],
        # OpenAI trained ViT-L with the quick form, OpenCLIP the larger towers with the exact one.
        "hidden_act": "quick_gelu" if hidden == 1024 else "gelu",
    }
