"""The model files of the live suite: small, random, in the published layouts; made once and kept."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.lora import lora_shapes
from lib_ipadapter.model.variant import Base, FaceFeature, Feature, Kind, Variant

TEXT, OTHER_TEXT = 64, 96
CHANNELS = 32
WIDTHS = tuple(CHANNELS * m for m in (1, 1, 2, 2, 4, 4, 4, 4, 4, 2, 2, 2, 1, 1, 1, 4))
"""K/V widths in checkpoint order: SD1.5's 320, 640, 1280 divided by ten."""

SDXL_TEXT = TEXT + 256
"""CLIP-L's and OpenCLIP's text side by side."""
SDXL_WIDTHS = (2 * CHANNELS,) * 4 + (4 * CHANNELS,) * 50 + (2 * CHANNELS,) * 6 + (4 * CHANNELS,) * 10
"""K/V widths in checkpoint order: 4 and 20 layers in the input blocks, 30 and 6 in the output blocks, 10 in the middle;
SDXL's 640 and 1280 divided by ten."""

SD15_CONFIG, EDIT_CONFIG = "configs/v1-inference.yaml", "configs/instruct-pix2pix.yaml"
SDXL_CONFIG, REFINER_CONFIG = (
    f"repositories/generative-models/configs/inference/sd_xl_{kind}.yaml" for kind in ("base", "refiner")
)
RECIPES = {
    "tiny.safetensors": {"config": SD15_CONFIG, "text_width": TEXT, "seed": 1},
    "tiny.ckpt": {"config": SD15_CONFIG, "text_width": TEXT, "seed": 2},
    "sibling.safetensors": {"config": SD15_CONFIG, "text_width": TEXT, "seed": 3},
    "other.safetensors": {"config": SD15_CONFIG, "text_width": OTHER_TEXT, "seed": 4},
    "edit.safetensors": {"config": EDIT_CONFIG, "text_width": TEXT, "seed": 5, "latents": 8},
    "sdxl.safetensors": {"config": SDXL_CONFIG, "text_width": TEXT, "seed": 6},
    "sdxl-refiner.safetensors": {"config": REFINER_CONFIG, "text_width": TEXT, "seed": 7},
}
TINY, TWIN, SIBLING, OTHER, EDIT, SDXL, SDXL_REFINER = RECIPES
"""The usual one; the same structure and config file; the same structure but another config file; another structure;
InstructPix2Pix's structure; SDXL's, and that of its refiner."""

BASE, PLUS, WRONG_WIDTH, WRONG_FAMILY, NO_ENCODER = (
    "ip-adapter_sd15_live",
    "ip-adapter-plus_sd15_live",
    "ip-adapter_sd15_wide",
    "ip-adapter_sdxl_live",
    "ip-adapter_sd15_odd",
)
ENCODER = "vit-h"
FULL = "ip-adapter-full-face_sd15_live"
FACEID, SDXL_FACEID = "ip-adapter-faceid_sd15_live", "ip-adapter-faceid_sdxl_live"
SDXL_BASE, SDXL_PLUS, COUNTING = "ip-adapter_sdxl_vit-h", "ip-adapter-plus_sdxl_vit-h", "ip-adapter_sdxl_counting"

FULL_CLIP = os.environ.get("LIVE_FULL_CLIP") == "1"
"""Whether the encoder has ViT-H's real depth; slow, and only for the comparison with ControlNet."""

CLIP = {
    "hidden_size": 1280,
    "num_attention_heads": 16,
    "patch_size": 14,
    "image_size": 224,
    "projection_dim": 1024,
    "hidden_act": "gelu",
    "num_hidden_layers": 32 if FULL_CLIP else 3,
    "intermediate_size": 5120 if FULL_CLIP else 64,
}
"""ViT-H, by which both extensions know the encoder; shallow, so that it is read and run in no time."""


def made(home: Path, webui: Path, python: Path) -> Path:
    """The folder with all models below `home`, for the WebUI's ``--models-dir``; made now if it is not there."""
    recipe = [Path(__file__).read_bytes(), Path(__file__).with_name("make_checkpoints.py").read_bytes(), repr(CLIP)]
    stamp = hashlib.sha256(repr(recipe).encode()).hexdigest()[:8]
    folder = home / f"models-{stamp}"
    complete = folder / "complete"
    if not complete.exists():
        for old in home.glob("models-*"):
            shutil.rmtree(old)
        make_checkpoints(folder / "Stable-diffusion", webui, python)
        make_rest(folder)
        complete.touch()
    return folder


def make_checkpoints(folder: Path, webui: Path, python: Path) -> None:
    script = Path(__file__).with_name("make_checkpoints.py")
    arguments = [python, script, webui, folder, json.dumps(RECIPES)]
    done = subprocess.run(arguments, check=False, capture_output=True, text=True, cwd=webui)
    assert done.returncode == 0, done.stderr


def make_rest(folder: Path) -> None:
    """Adapters, encoder, T2I-Adapter, where both extensions find them."""
    adapters, controlnet, annotators = (folder / n for n in ("ip-adapter", "ControlNet", "annotators/clip_vision"))
    for path in (adapters, controlnet, annotators):
        path.mkdir(parents=True)
    for name, make in ADAPTERS.items():
        save_file(make(), adapters / f"{name}.safetensors")
    for name in (BASE, PLUS, FULL, SDXL_BASE):
        shutil.copy(adapters / f"{name}.safetensors", controlnet / f"{name}.safetensors")
    save_file(t2i_adapter(), controlnet / "t2iadapter_canny_sd15_live.safetensors")
    encoder = clip_vision()
    encoder.save_pretrained(folder / "clip_vision" / ENCODER)
    torch.save(encoder.state_dict(), annotators / "clip_h.pth", _use_new_zipfile_serialization=False)


def base_adapter(*, width: int = TEXT, layers: tuple[int, ...] = WIDTHS, features: int = 1024) -> dict[str, Tensor]:
    family = Base.SD15 if len(layers) == 16 else Base.SDXL
    return adapter(
        Variant(Kind.BASE, family, 4, width, Feature.IMAGE_EMBEDS, features, layers),
    )


def plus_adapter(*, width: int = TEXT, layers: tuple[int, ...] = WIDTHS) -> dict[str, Tensor]:
    """Twelve heads, as every published SD1.5 plus adapter and as ControlNet takes for granted."""
    family = Base.SD15 if len(layers) == 16 else Base.SDXL
    return adapter(
        Variant(
            Kind.PLUS, family, 16, width, Feature.HIDDEN_STATES, 1280, layers, dim=TEXT, depth=4, heads=12, ff_mult=4
        )
    )


def full_adapter() -> dict[str, Tensor]:
    """A token for each of the 257 places of the encoder's grid."""
    return adapter(Variant(Kind.FULL, Base.SD15, None, TEXT, Feature.HIDDEN_STATES, 1280, WIDTHS))


def faceid_adapter(*, width: int = TEXT, layers: tuple[int, ...] = WIDTHS) -> dict[str, Tensor]:
    """With a LoRA of rank 4 for every attention layer."""
    variant = Variant(
        kind=Kind.FACEID,
        base=Base.SD15 if len(layers) == 16 else Base.SDXL,
        tokens=4,
        width=width,
        feature=None,
        features=0,
        layers=layers,
        face=FaceFeature.NORMED,
        face_width=512,
        face_dim=1024,
        lora_rank=4,
    )
    return adapter(variant) | {key: 0.2 * torch.randn(shape) for key, shape in lora_shapes(variant).items()}


def counting_adapter() -> dict[str, Tensor]:
    """For SDXL. Whatever the picture, the keys of the checkpoint's map N are N everywhere, the values -N."""
    tensors = base_adapter(width=SDXL_TEXT, layers=SDXL_WIDTHS)
    tensors["image_proj.norm.weight"] = torch.zeros(SDXL_TEXT)
    tensors["image_proj.norm.bias"] = torch.ones(SDXL_TEXT)
    for name, weight in tensors.items():
        if name.startswith("ip_adapter."):
            number = int(name.split(".")[1])
            tensors[name] = torch.full_like(weight, (number if "to_k" in name else -number) / SDXL_TEXT)
    return tensors


def adapter(variant: Variant) -> dict[str, Tensor]:
    """Random weights, strong enough to be seen."""
    torch.manual_seed(len(variant.layers) + (variant.tokens or 0))
    model = IPAdapter(variant)
    for name, parameter in model.named_parameters():
        if name.startswith("ip_adapter"):
            torch.nn.init.normal_(parameter, std=0.2)
    return model.state_dict()


ADAPTERS: dict[str, Callable[[], dict[str, Tensor]]] = {
    BASE: base_adapter,
    PLUS: plus_adapter,
    WRONG_WIDTH: lambda: base_adapter(width=OTHER_TEXT),
    WRONG_FAMILY: lambda: base_adapter(layers=(CHANNELS,) * 70),
    NO_ENCODER: lambda: base_adapter(features=999),
    FULL: full_adapter,
    FACEID: faceid_adapter,
    SDXL_FACEID: lambda: faceid_adapter(width=SDXL_TEXT, layers=SDXL_WIDTHS),
    SDXL_BASE: lambda: base_adapter(width=SDXL_TEXT, layers=SDXL_WIDTHS),
    SDXL_PLUS: lambda: plus_adapter(width=SDXL_TEXT, layers=SDXL_WIDTHS),
    COUNTING: counting_adapter,
}


def clip_vision() -> CLIPVisionModelWithProjection:
    torch.manual_seed(7)
    model = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP))
    return model.half() if FULL_CLIP else model


def t2i_adapter() -> dict[str, Tensor]:
    """TencentARC's T2I-Adapter for one map: 8 x 8 pixels folded into channels, then four pairs of blocks."""
    torch.manual_seed(8)
    widths = [CHANNELS * m for m in (1, 2, 4, 4)]
    shapes = {"conv_in": (CHANNELS, 192, 3, 3), **dict(blocks(widths))}
    tensors = {}
    for name, shape in shapes.items():
        tensors[f"{name}.weight"] = torch.randn(shape) * (2 / (shape[1] * shape[2] ** 2)) ** 0.5
        tensors[f"{name}.bias"] = torch.zeros(shape[0])
    return tensors


def blocks(widths: list[int]) -> Iterator[tuple[str, tuple[int, ...]]]:
    before = widths[0]
    for i, width in enumerate(widths):
        for j in range(2):
            if before != width:
                yield f"body.{2 * i + j}.in_conv", (width, before, 1, 1)
            yield f"body.{2 * i + j}.block1", (width, width, 3, 3)
            yield f"body.{2 * i + j}.block2", (width, width, 1, 1)
            before = width
