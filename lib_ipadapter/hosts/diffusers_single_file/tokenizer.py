"""CLIP's vocabulary: one folder serves every text tower."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import CLIPTokenizer

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.hosts.diffusers_single_file.config import dig

NAMED = (
    ("cond_stage_config", "params", "version"),
    ("conditioner_config", "params", "emb_models", 0, "params", "version"),
)
"""Where ldm's and sgm's YAML may name the folder of the text encoder."""


def find_tokenizer(path: Path, tokenizer: Path | None, params: Mapping[str, Any]) -> Path:
    """The folder given, or named by the configuration, or beside the checkpoint. Raises `CheckpointError`.

    A name in the configuration begins where the checkpoint lies, not where the command was called.
    """
    named = [path.parent / place for keys in NAMED if isinstance(place := dig(params, *keys), str)]
    places = [tokenizer] if tokenizer else [*named, path.parent / "tokenizer"]
    for place in places:
        if (place / "vocab.json").is_file() or (place / "tokenizer.json").is_file():
            return place
    raise CheckpointError(
        f"No tokenizer for {path.name}: expected vocab.json and merges.txt in {' or '.join(map(str, places))};"
        " give --tokenizer the tokenizer folder of any SD1.5 or SDXL checkpoint in diffusers' layout; one ships with"
        " the extension, see the README's Command line."
    )


def read_tokenizer(folder: Path, length: int) -> CLIPTokenizer:
    """As OpenAI's tower was trained: filled up to `length` with the end token, whatever the folder says."""
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, model_max_length=length)
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def read_open_clip_tokenizer(folder: Path, length: int) -> CLIPTokenizer:
    """As OpenCLIP's towers were trained: filled up with zeros, and token 0 is "!".

    The padding is named afterwards: named to ``from_pretrained``, every "!" of a prompt would become a token 0 as well.
    """
    tokenizer = CLIPTokenizer.from_pretrained(str(folder), local_files_only=True, model_max_length=length)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    return tokenizer
