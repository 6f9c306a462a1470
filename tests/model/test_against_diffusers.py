"""diffusers' own loader is the oracle: made-up weights in the true shapes give the same tokens, keys and values."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.utils.import_utils import is_accelerate_available
from torch import Tensor

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.detection import detect
from lib_ipadapter.model.dialect_rules import places
from lib_ipadapter.model.identity import identified
from lib_ipadapter.model.variant import Base, Kind, Variant
from tests.models import tiny_features
from tests.recorded import Shapes, recorded

SD15 = (
    "ip-adapter_sd15",
    "ip-adapter_sd15_vit-G",
    "ip-adapter-plus_sd15",
    "ip-adapter-full-face_sd15",
    "ip-adapter-faceid_sd15",
    "ip-adapter-faceid-plus_sd15",
    "ip-adapter-faceid-plusv2_sd15",
    "ip-adapter-faceid-portrait-v11_sd15",
)
SDXL = (
    "ip-adapter_sdxl",
    "ip-adapter_sdxl_vit-h",
    "ip-adapter-plus_sdxl_vit-h",
    "ip-adapter-faceid_sdxl",
    "ip-adapter-faceid-plusv2_sdxl",
    "ip-adapter-faceid-portrait_sdxl",
    "ip-adapter-faceid-portrait_sdxl_unnorm",
)
NARROW = {640: 8, 1280: 16}
SCALE = 0.6


SIZES: dict[Base, dict[str, Any]] = {
    Base.SD15: {"cross_attention_dim": 768},
    Base.SDXL: {
        "cross_attention_dim": 2048, "block_out_channels": (8, 8, 16), "norm_num_groups": 4, "attention_head_dim": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
    },
}  # fmt: skip


@cache
def unet(base: Base) -> Any:
    """All that the loader asks a UNet for: its names and sizes, and where it is. SDXL's is narrow."""
    with torch.device("meta"):
        model = UNet2DConditionModel(**SIZES[base])
    place = {"device": torch.device("cpu"), "dtype": torch.float32}
    return SimpleNamespace(attn_processors=model.attn_processors, config=model.config, **place)


def narrowed(shapes: Shapes) -> Shapes:
    """SDXL's maps, whose widths are the UNet's; the projection keeps its own."""
    narrow = {k: tuple(NARROW.get(n, n) for n in s) for k, s in shapes.items() if k.startswith("ip_adapter.")}
    return shapes | narrow


def made_up(shapes: Shapes) -> dict[str, Tensor]:
    """Of a size that keeps numbers near one through every layer."""
    torch.manual_seed(0)

    def make(key: str, shape: tuple[int, ...]) -> Tensor:
        if len(shape) == 1:
            return torch.randn(shape) * 0.1 + (1.0 if "norm" in key and key.endswith("weight") else 0.0)
        return torch.randn(shape) / shape[-1] ** 0.5

    return {key: make(key, shape) for key, shape in shapes.items()}


def adapter_of(variant: Variant, tensors: dict[str, Tensor]) -> IPAdapter:
    with torch.device("meta"):
        adapter = IPAdapter(variant)
    adapter.load(tensors, "made up")
    return adapter.requires_grad_(False)


def parts(tensors: dict[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    return {
        part: {k.removeprefix(f"{part}."): t for k, t in tensors.items() if k.startswith(f"{part}.")}
        for part in ("image_proj", "ip_adapter")
    }


def their_tokens(variant: Variant, state: dict[str, Tensor], features: tuple[Tensor, ...]) -> Tensor:
    shared = is_accelerate_available()  # without it they copy every weight
    loader: Any = UNet2DConditionModel
    projection = loader._convert_ip_adapter_image_proj_to_diffusers(unet(variant.base), state, low_cpu_mem_usage=shared)
    if variant.kind in (Kind.FACEID_PLUS, Kind.FACEID_PLUS_V2):
        projection.clip_embeds = features[1][:, None]
        projection.shortcut = variant.shortcut
        projection.shortcut_scale = SCALE
    first = features[0][:, None] if variant.kind is Kind.PORTRAIT_UNNORM else features[0]
    with torch.no_grad():
        return projection(first).reshape(len(first), -1, variant.width)


def check_tokens(shapes: Shapes, name: str) -> tuple[IPAdapter, dict[str, Tensor], Tensor]:
    choice = Kind.PORTRAIT_UNNORM if "unnorm" in name else None
    variant = identified(shapes, Path(f"{name}.bin"), choice)
    tensors = made_up(shapes)
    adapter, features = adapter_of(variant, tensors), tiny_features(variant, rows=2)
    tokens = adapter.project(*features, shortcut_scale=SCALE)
    torch.testing.assert_close(
        tokens, their_tokens(variant, parts(tensors)["image_proj"], features), rtol=1e-4, atol=1e-4
    )
    return adapter, tensors, tokens


@pytest.mark.parametrize("name", [*SD15, *SDXL])
def test_tokens_keys_and_values_equal_those_of_diffusers(name: str) -> None:
    shapes = recorded(name)
    adapter, tensors, tokens = check_tokens(narrowed(shapes) if name in SDXL else shapes, name)
    loader: Any = UNet2DConditionModel
    processors = loader._convert_ip_adapter_attn_to_diffusers(
        unet(adapter.variant.base), [parts(tensors)], low_cpu_mem_usage=is_accelerate_available()
    )
    cross = [p for place, p in processors.items() if place.endswith("attn2.processor")]
    for ours, theirs in zip(adapter.key_values(tokens), cross, strict=True):
        torch.testing.assert_close(ours.key, theirs.to_k_ip[0](tokens))
        torch.testing.assert_close(ours.value, theirs.to_v_ip[0](tokens))


@pytest.mark.parametrize("tokens", [1, 3, 16])
@pytest.mark.parametrize("name", ["ip-adapter-plus_sd15", "ip-adapter-faceid_sd15"])
def test_other_numbers_of_tokens_agree(name: str, tokens: int) -> None:
    shapes = recorded(name)
    if "plus" in name:
        shapes["image_proj.latents"] = (1, tokens, 768)
    else:
        shapes |= {"image_proj.proj.2.weight": (tokens * 768, 1024), "image_proj.proj.2.bias": (tokens * 768,)}
    assert check_tokens(shapes, name)[2].shape == (2, tokens, 768)


@pytest.mark.parametrize(("dim", "heads", "queries", "features"), [(96, 5, 7, 33), (320, 1, 1, 257), (768, 2, 40, 512)])
def test_resamplers_of_odd_sizes_agree(dim: int, heads: int, queries: int, features: int) -> None:
    inner = heads * 64
    changes = {"latents": (1, queries, dim), "proj_in.weight": (dim, features), "proj_out.weight": (768, dim)}
    ends = {
        "norm1.weight": (dim,), "norm1.bias": (dim,), "norm2.weight": (dim,), "norm2.bias": (dim,),
        "0.to_q.weight": (inner, dim), "0.to_kv.weight": (2 * inner, dim), "0.to_out.weight": (dim, inner),
        "1.0.weight": (dim,), "1.0.bias": (dim,), "1.1.weight": (4 * dim, dim), "1.3.weight": (dim, 4 * dim),
    }  # fmt: skip
    shapes = recorded("ip-adapter-plus_sd15")
    shapes |= {f"image_proj.{key}": shape for key, shape in changes.items()} | {"image_proj.proj_in.bias": (dim,)}
    shapes |= {
        key: shape for key in shapes for end, shape in ends.items() if ".layers." in key and key.endswith(f".{end}")
    }
    variant, tensors = detect(shapes, Kind.PLUS), made_up(shapes)
    assert (variant.dim, variant.heads, variant.tokens, variant.features) == (dim, heads, queries, features)
    given = tiny_features(variant)
    theirs = their_tokens(variant, parts(tensors)["image_proj"], given)
    torch.testing.assert_close(adapter_of(variant, tensors).project(*given), theirs, rtol=1e-4, atol=1e-4)


def test_the_shortcut_is_what_sets_version_2_apart() -> None:
    shapes = recorded("ip-adapter-faceid-plus_sd15")
    tensors = made_up(shapes)
    one, two = (adapter_of(detect(shapes, kind), tensors) for kind in (Kind.FACEID_PLUS, Kind.FACEID_PLUS_V2))
    given = tiny_features(one.variant)
    alone = two.project(*given, shortcut_scale=0.0)
    torch.testing.assert_close(two.project(*given, shortcut_scale=SCALE), alone + SCALE * one.project(*given))


@pytest.mark.parametrize("name", ["ip-adapter-faceid_sd15", "ip-adapter-faceid_sdxl"])
def test_the_lora_goes_where_diffusers_puts_it(name: str) -> None:
    shapes = recorded(name)
    tensors = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    variant = detect(shapes)
    adapter = adapter_of(variant, tensors)
    loader: Any = UNet2DConditionModel
    theirs = loader._load_ip_adapter_loras(unet(variant.base), [parts(tensors)])[0]
    ours = {
        f"unet.{place}.processor.{projection}_lora.{half}.weight": getattr(low_rank, half)
        for number, place in enumerate(places(variant.base))
        for projection, low_rank in adapter.lora[number].items()
        for half in ("down", "up")
    }
    assert ours.keys() == theirs.keys()
    assert all(ours[key] is theirs[key] for key in theirs)
