"""Everything that a run needs, on disk, small: a checkpoint with tokenizer, an encoder, pictures with captions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.run import train
from tests.models import tiny_encoder, tiny_pipeline

COLOURS = ("red", "lime", "blue", "yellow", "magenta", "cyan", "white", "black")
SIDE = 64


def save_tokenizer(folder: Path) -> CLIPTokenizer:
    """Letters only: no merges, a word is as many tokens as it has letters."""
    folder.mkdir(parents=True, exist_ok=True)
    letters = [chr(code) for code in range(33, 127)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)


def save_checkpoint(folder: Path, prediction: str = "epsilon") -> Path:
    pipeline = tiny_pipeline()
    pipeline.register_modules(tokenizer=save_tokenizer(folder / "letters"))
    pipeline.scheduler.register_to_config(prediction_type=prediction)
    pipeline.save_pretrained(str(folder))
    return folder


def save_sdxl_checkpoint(folder: Path) -> Path:
    """SDXL's structure, 70 cross-attention layers, as narrow as can be."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(
        block_out_channels=(8, 8, 8),
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    tokenizer = save_tokenizer(folder / "letters")
    StableDiffusionXLPipeline(
        vae=tiny_pipeline().vae,
        text_encoder=CLIPTextModel(CLIPTextConfig(**sizes)),
        text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**sizes, projection_dim=16)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        unet=unet,
        scheduler=EulerDiscreteScheduler(),
    ).save_pretrained(str(folder))
    return folder


def save_encoder(folder: Path) -> Path:
    tiny_encoder().save_pretrained(folder)
    return folder


def save_pictures(folder: Path, colours: tuple[str, ...] = COLOURS) -> Path:
    """One picture of each colour, all with the caption "a colour": only the reference tells which."""
    folder.mkdir(parents=True, exist_ok=True)
    for colour in colours:
        Image.new("RGB", (SIDE, SIDE), colour).save(folder / f"{colour}.png")
        (folder / f"{colour}.txt").write_text("a colour")
    return folder


def config(world: Path, output: Path, **more: object) -> TrainConfig:
    """A run of a few steps in `world`, as the fixture of that name makes it."""
    values: dict[str, object] = {
        "data": world / "data",
        "checkpoint": world / "checkpoint",
        "encoder": world / "encoder",
        "output": output,
        "resolution": SIDE,
        "steps": 2,
        "batch_size": 4,
        "sample_every": 0,
        "log_every": 1000,
        "holdout": 0,
        "cpu": True,
    }
    return TrainConfig(**(values | more))  # pyright: ignore[reportArgumentType]


def run(world: Path, output: Path, **more: object) -> dict[str, Tensor]:
    said: list[str] = []
    train(config(world, output, **more), said.append)
    return load_file(output / "adapter.safetensors")


def metrics(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def state(output: Path, step: int) -> dict[str, Tensor]:
    return load_file(output / f"state-{step:08d}" / "model.safetensors")


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
