"""Short names of models: what they encode is theirs alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from lib_ipadapter.training.frozen import Frozen


def model_hash(*modules: Any) -> str:
    """Of all weights and of how they are run, short: what they encode is theirs alone."""
    digest = hashlib.sha256()
    for module in modules:
        digest.update(json.dumps(_settings(module), sort_keys=True, default=str).encode())
        for name, tensor in module.state_dict().items():
            digest.update(name.encode())
            digest.update(_bytes(tensor))
    return digest.hexdigest()[:12]


def _settings(module: Any) -> dict[str, Any]:
    """Its configuration, diffusers' or transformers', without where it was read from and by which version."""
    config = module.config if isinstance(module.config, Mapping) else module.config.to_dict()
    return {name: value for name, value in config.items() if not name.startswith("_") and "version" not in name}


def vocabulary_hash(frozen: Frozen) -> str:
    """Of the tokenizers' vocabularies, short: another one gives the same text encoder other numbers."""
    tokenizers = [getattr(frozen.pipeline, name, None) for name in ("tokenizer", "tokenizer_2")]
    known = [sorted(tokenizer.get_vocab().items()) for tokenizer in tokenizers if tokenizer is not None]
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()[:12]


def _bytes(tensor: Tensor) -> memoryview:
    return memoryview(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())  # pyright: ignore
