"""``generate``: from local files to a PNG, or to a sentence."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from lib_ipadapter.cli import picture as command
from lib_ipadapter.cli.app import app
from lib_ipadapter.hosts.diffusers_checkpoint import read_pipeline, use_sampler
from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session import infotext
from tests.hosts.originals import NUMPY
from tests.models import EMBED, tiny_encoder

REFERENCE = Image.radial_gradient("L").convert("RGB")


@dataclass(frozen=True)
class Bench:
    """Everything that a command line names; `run` says it."""

    checkpoint: Path
    adapter: Path
    encoder: Path
    image: Path
    output: Path

    def run(self, **options: Any) -> tuple[int, str, str]:
        usual = {"steps": 2, "width": 64, "height": 64, "seed": 5, "prompt": "a cat", "sampler": "ddim"}
        named = {"adapter": self.adapter, "encoder": self.encoder, "image": self.image, "output": self.output}
        given = {**usual, **named, **options}
        checkpoint = given.pop("checkpoint", self.checkpoint)
        each = [(name, v) for name, value in given.items() for v in (value if isinstance(value, list) else [value])]
        words = [str(word) for name, value in each if value is not None for word in (f"--{name}", value)]
        result = CliRunner().invoke(app, ["generate", str(checkpoint), *words])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    def picture(self, **options: Any) -> np.ndarray:
        status, _, err = self.run(**options)
        assert status == 0, err
        with Image.open(self.output) as picture:
            return np.asarray(picture)

    def parameters(self, **options: Any) -> str:
        self.picture(**options)
        with Image.open(self.output) as picture:
            return picture.info["parameters"]


@pytest.fixture
def bench(single_file: Path, adapters: Path, encoder: Path, tmp_path: Path) -> Bench:
    REFERENCE.save(tmp_path / "reference.png")
    return Bench(
        single_file, adapters / "base.safetensors", encoder, tmp_path / "reference.png", tmp_path / "new" / "o.png"
    )


def plain(checkpoint: Path, sampler: str = "ddim") -> np.ndarray:
    pipeline: Any = read_pipeline(checkpoint, torch.device("cpu"), torch.float32)
    use_sampler(pipeline, sampler)
    made = pipeline("a cat", height=64, width=64, num_inference_steps=2, generator=torch.Generator().manual_seed(5))
    return np.asarray(made.images[0])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # a scheduler's, under NumPy 2
@pytest.mark.parametrize("sampler", ["ddim", "euler-a"])  # the second draws noise at each step as well
def test_at_scale_0_it_is_the_checkpoints_own_picture(sampler: str, bench: Bench) -> None:
    assert np.array_equal(bench.picture(scale=0, sampler=sampler), plain(bench.checkpoint, sampler))


def test_the_noise_of_a_seed_is_drawn_in_float32(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[torch.Tensor] = []
    run = StableDiffusionPipeline.__call__

    def watched(pipeline: Any, **given: Any) -> Any:
        started.append(given["latents"])
        return run(pipeline, **given)

    monkeypatch.setattr(StableDiffusionPipeline, "__call__", watched)
    bench.picture()
    wanted = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    assert torch.equal(started[0], wanted)


@pytest.mark.parametrize("usual", [16, (16, 24)])
def test_noise_is_in_float32_for_a_pipeline_in_half_precision_and_as_large_as_that_one_draws(usual: object) -> None:
    unet = SimpleNamespace(config=SimpleNamespace(sample_size=usual, in_channels=4))
    pipeline: Any = SimpleNamespace(unet=unet, vae_scale_factor=8, dtype=torch.float16)
    request: Any = SimpleNamespace(height=64, width=None)
    found = command.noise(request, pipeline, torch.Generator().manual_seed(5))
    assert found.dtype is torch.float32
    assert found.shape == (1, 4, 8, 24 if isinstance(usual, tuple) else 16)


def test_the_reference_changes_the_picture_and_the_seed_repeats_it(bench: Bench, adapters: Path) -> None:
    adapter = adapters / "plus.safetensors"
    first = bench.picture(adapter=adapter, scale=1)
    assert not np.array_equal(first, bench.picture(adapter=adapter, scale=0))
    assert np.array_equal(first, bench.picture(adapter=adapter, scale=1))
    assert not np.array_equal(first, bench.picture(adapter=adapter, scale=1, seed=6))


def test_a_folder_and_a_single_file_of_one_checkpoint_make_one_picture(bench: Bench, folder: Path) -> None:
    first, second = bench.picture().astype(int), bench.picture(checkpoint=folder).astype(int)
    assert np.abs(first - second).max() <= 1  # the same weights, laid out otherwise in memory


def test_the_file_that_was_named_is_taken_whatever_lies_beside_it(bench: Bench, adapters: Path, tmp_path: Path) -> None:
    wanted = bench.picture(adapter=adapters / "base.safetensors")
    crowd = Path(shutil.copytree(adapters, tmp_path / "crowd"))
    (crowd / "zz").mkdir()
    shutil.copy(crowd / "base.safetensors", crowd / "zz" / "plus.safetensors")
    assert np.array_equal(wanted, bench.picture(adapter=crowd / "zz" / "plus.safetensors"))


@pytest.mark.filterwarnings(NUMPY)
def test_without_a_sampler_it_is_the_checkpoints(bench: Bench) -> None:
    assert "Sampler: EulerDiscrete," in bench.parameters(sampler=None)


def test_the_parameters_are_those_that_the_webui_pastes(bench: Bench) -> None:
    text = bench.parameters(prompt="a cat, blue", negative="dog", scale=0.75, start=0.25, guidance=4)
    prompt, negative, rest = text.split("\n")
    assert (prompt, negative) == ("a cat, blue", "Negative prompt: dog")
    assert rest.startswith("Steps: 2, Sampler: DDIM, CFG scale: 4.0, Seed: 5, Size: 64x64, Model: tiny, IP-Adapter 1: ")
    unit = infotext.read({"IP-Adapter 1": re.findall(r'IP-Adapter 1: "(.*)"', rest)[0]}, 1)
    assert (unit["model"], unit["scale"], unit["start"], unit["end"]) == ("base", 0.75, 0.25, 1.0)
    assert content_hash(REFERENCE).startswith(unit["image"])


def test_a_seed_that_was_drawn_is_said(bench: Bench) -> None:
    _, out, _ = bench.run(seed=None)
    seed = int(re.findall(r"seed (\d+)", out)[0])
    with Image.open(bench.output) as picture:
        assert f"Seed: {seed}," in picture.info["parameters"]


def test_progress_is_shown_and_nothing_else_on_standard_error(bench: Bench) -> None:
    _, out, err = bench.run(steps=3)
    assert "3/3" in err
    assert out.count("\n") == 1


def other_adapter(tmp_path: Path) -> Path:
    """As many layers as SDXL has."""
    tensors = {"image_proj.proj.weight": torch.zeros(4 * 64, EMBED), "image_proj.proj.bias": torch.zeros(4 * 64)}
    tensors |= {f"image_proj.norm.{name}": torch.zeros(64) for name in ("weight", "bias")}
    names = [f"ip_adapter.{2 * n + 1}.to_{what}_ip.weight" for n in range(70) for what in "kv"]
    save_file(tensors | {name: torch.zeros(8, 64) for name in names}, tmp_path / "sdxl.safetensors")
    return tmp_path / "sdxl.safetensors"


def text_file(tmp_path: Path) -> Path:
    (tmp_path / "notes.txt").write_text("not a model, not a picture")
    return tmp_path / "notes.txt"


WRONG = {
    "no picture": (lambda _: {"image": "nowhere.png"}, "There is no picture"),
    "picture of something else": (lambda tmp: {"image": text_file(tmp)}, "is not a picture"),
    "a folder as picture": (lambda tmp: {"image": tmp}, "is not a picture"),
    "no adapter": (lambda _: {"adapter": "nowhere.safetensors"}, "There is no file"),
    "adapter of something else": (lambda tmp: {"adapter": text_file(tmp)}, "neither a safetensors nor"),
    "adapter for SDXL": (lambda tmp: {"adapter": other_adapter(tmp)}, "does not fit the loaded checkpoint"),
    "no encoder": (lambda _: {"encoder": "nowhere"}, "nowhere"),
    "no checkpoint": (lambda _: {"checkpoint": "nowhere"}, "There is no checkpoint"),
    "checkpoint of something else": (lambda tmp: {"checkpoint": text_file(tmp), "tokenizer": tmp}, "notes"),
    "too strong": (lambda _: {"scale": 3}, "scale must be a number from 0 to 2"),
    "odd size": (lambda _: {"width": 100}, "multiples of 8"),
    "no such sampler": (lambda _: {"sampler": "eular"}, "no sampler called 'eular'"),
    "no such device": (lambda _: {"device": "abacus"}, "no device 'abacus'"),
    "not a PNG": (lambda tmp: {"output": tmp / "o.jpg"}, "does not end with .png"),
    "nowhere to write": (lambda tmp: {"output": text_file(tmp) / "o.png"}, "cannot be written"),
}


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_used_is_one_sentence_and_status_2(
    bench: Bench, tmp_path: Path, options: Any, said: str
) -> None:
    status, out, err = bench.run(**options(tmp_path))
    sentence = err.split("\r")[-1].splitlines()[-1]
    assert (status, out) == (2, "")
    assert said in sentence
    assert sentence.endswith(".")
    assert not bench.output.exists()


def test_an_encoder_of_another_size_is_a_sentence_that_says_both(bench: Bench, adapters: Path, tmp_path: Path) -> None:
    tiny_encoder(embed=48).save_pretrained(tmp_path / "other")
    status, _, err = bench.run(encoder=tmp_path / "other")
    assert status == 2
    assert "expected one that is not published (image_embeds 40 wide)" in err
    assert "got image_embeds 48" in err
