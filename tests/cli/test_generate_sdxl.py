"""``generate`` on a single file of SDXL's structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.hosts.diffusers_checkpoint import read_pipeline, use_sampler
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Base, Feature, Kind, Variant
from lib_ipadapter.patch.layers import cross_attentions
from tests.hosts.conftest import sdxl_file
from tests.models import EMBED, save_adapter, tiny_encoder

__all__ = ["sdxl_file"]


@pytest.fixture(scope="module")
def options(sdxl_file: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Everything that a command line needs but the scale and where to write."""
    home = tmp_path_factory.mktemp("sdxl")
    layers = cross_attentions(read_pipeline(sdxl_file, torch.device("cpu"), torch.float32).unet)
    torch.manual_seed(0)
    adapter = IPAdapter(
        Variant(
            kind=Kind.BASE,
            base=Base.SDXL,
            width=layers[0].context,
            layers=tuple(layer.width for layer in layers),
            tokens=4,
            feature=Feature.IMAGE_EMBEDS,
            features=EMBED,
        )
    )
    tiny_encoder().save_pretrained(home / "encoder")
    Image.effect_noise((64, 64), 80).convert("RGB").save(home / "reference.png")
    paths = {"adapter": save_adapter(adapter, home / "adapter.safetensors"), "encoder": home / "encoder"}
    given = {**paths, "image": home / "reference.png", "prompt": "a cat", "width": 64, "height": 64, "steps": 2}
    given |= {"seed": 5, "sampler": "ddim"}
    return ["generate", str(sdxl_file), *(str(word) for name, value in given.items() for word in (f"--{name}", value))]


def picture(options: list[str], output: Path, **more: object) -> np.ndarray:
    words = [str(word) for name, value in more.items() for word in (f"--{name}", value)]
    result = CliRunner().invoke(app, [*options, *words, "--output", str(output)])
    assert result.exit_code == 0, result.stderr
    with Image.open(output) as image:
        return np.asarray(image)


def test_at_scale_0_it_is_the_checkpoints_own_picture(options: list[str], sdxl_file: Path, tmp_path: Path) -> None:
    pipeline: Any = read_pipeline(sdxl_file, torch.device("cpu"), torch.float32)
    use_sampler(pipeline, "ddim")
    generator = torch.Generator().manual_seed(5)
    made = pipeline("a cat", height=64, width=64, num_inference_steps=2, guidance_scale=7.5, generator=generator)
    assert np.array_equal(picture(options, tmp_path / "o.png", scale=0), np.asarray(made.images[0]))


def test_the_reference_changes_the_picture_and_the_seed_repeats_it(options: list[str], tmp_path: Path) -> None:
    first = picture(options, tmp_path / "o.png", scale=1)
    assert np.array_equal(first, picture(options, tmp_path / "o.png", scale=1))
    assert not np.array_equal(first, picture(options, tmp_path / "o.png", scale=0))
