"""The text towers of a single file, in transformers' classes; their sizes are read off the shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lib_ipadapter.hosts.diffusers_single_file.parts import Original, fill

HEAD = 64
"""Width of an attention head in every published text tower."""

OPEN_CLIP = {
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.": "text_model.embeddings.token_embedding.",
    "ln_final.": "text_model.final_layer_norm.",
    "transformer.resblocks.": "text_model.encoder.layers.",
}
"""Beginning of OpenCLIP's key -> transformers'."""

OPEN_CLIP_LAYER = {
    ".ln_1.": ".layer_norm1.",
    ".ln_2.": ".layer_norm2.",
    ".mlp.c_fc.": ".mlp.fc1.",
    ".mlp.c_proj.": ".mlp.fc2.",
    ".attn.": ".self_attn.",
}
"""The same within a layer."""


def read_clip(original: Original, prefix: str, folder: Path) -> CLIPTextModel:
    """OpenAI's tower, below `prefix`; its heads are 64 wide unless the configuration in `folder` says otherwise."""
    own = original.below(prefix)
    config = CLIPTextConfig.from_pretrained(str(folder)) if (folder / "config.json").is_file() else CLIPTextConfig()
    sizes = _sizes(own)
    if config.hidden_size == sizes["hidden_size"]:
        sizes["num_attention_heads"] = config.num_attention_heads
    config.update(sizes)
    own |= {key.removeprefix("text_model."): value for key, value in own.items()}  # transformers 5 has a level less
    return fill(original, "text encoder", lambda: CLIPTextModel(config), own)


def read_open_clip(original: Original, prefix: str, end: int) -> CLIPTextModelWithProjection:
    """OpenCLIP's tower, below `prefix`; it is pooled at the token `end`."""
    own = to_transformers(original.below(prefix))
    projection = len(own["text_projection.weight"])
    config = CLIPTextConfig(**_sizes(own), projection_dim=projection, hidden_act="gelu", eos_token_id=end)
    return fill(original, "second text encoder", lambda: CLIPTextModelWithProjection(config), own)


def to_transformers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenCLIP's text tower under transformers' keys; what only training and pictures need is left out."""
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        name = _renamed(key)
        if key == "text_projection":  # OpenCLIP multiplies from the right
            found["text_projection.weight"] = value.T.contiguous()
        elif ".in_proj_" in name:  # queries, keys and values one below the other
            for letter, part in zip("qkv", value.chunk(3), strict=True):
                found[name.replace(".in_proj_", f".{letter}_proj.")] = part.clone()
        elif name != key:
            found[name] = value
    return found


def _renamed(key: str) -> str:
    for theirs, ours in OPEN_CLIP.items():
        if key.startswith(theirs):
            key = ours + key.removeprefix(theirs)
    for theirs, ours in OPEN_CLIP_LAYER.items():
        key = key.replace(theirs, ours)
    return key


def _sizes(own: Mapping[str, Tensor]) -> dict[str, Any]:
    vocabulary, width = own["text_model.embeddings.token_embedding.weight"].shape
    return {
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": own["text_model.encoder.layers.0.mlp.fc1.weight"].shape[0],
        "num_hidden_layers": len({key.split(".")[3] for key in own if ".layers." in key}),
        "num_attention_heads": max(1, width // HEAD),
        "max_position_embeddings": len(own["text_model.embeddings.position_embedding.weight"]),
    }
