"""The pocket model's parts, fresh: layouts that others read, and a training that goes on where it stopped."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.hosts.diffusers_single_file import read_single_file
from lib_ipadapter.patch.layers import cross_attentions
from pocket import ship
from pocket.diffusion import Diffusion, make_world
from pocket.stage import Plan, train
from pocket.vae import HARD, SOFT, harden, make_vae, set_softness, settle


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights' folder, for a test that writes."""
    return tmp_path_factory.mktemp("weights")


def test_a_hardened_autoencoder_gives_the_same() -> None:
    torch.manual_seed(0)
    vae = make_vae().eval()
    set_softness(vae, SOFT)
    pixels = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        soft = vae.encode(pixels).latent_dist
        decoded = vae.decode(soft.mean).sample
        harden(vae)
        hard = vae.encode(pixels).latent_dist
        assert {module.eps for module in vae.modules() if isinstance(module, nn.GroupNorm)} == {HARD}
        torch.testing.assert_close(hard.mean, soft.mean, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(vae.decode(soft.mean).sample, decoded, atol=1e-5, rtol=1e-4)


def test_settled_latents_have_sd15s_spread() -> None:
    torch.manual_seed(0)
    vae = make_vae().eval()
    pixels = torch.rand(4, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        before = vae.encode(pixels).latent_dist
        decoded = vae.decode(before.mean).sample
        settle(vae, pixels)
        after = vae.encode(pixels).latent_dist
        scaled = after.mean * 0.18215
        torch.testing.assert_close(vae.decode(after.mean).sample, decoded, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(scaled.std(dim=(0, 2, 3)), torch.ones(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.mean(dim=(0, 2, 3)), torch.zeros(4), atol=1e-3, rtol=0)
    gain = (after.mean.std(dim=(0, 2, 3)) / before.mean.std(dim=(0, 2, 3)))[:, None, None]
    torch.testing.assert_close(after.std, before.std * gain, rtol=1e-3, atol=1e-4)


def test_the_single_file_is_read_as_it_was_written(shipped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ship, "CHECKPOINT", shipped / "pocket.safetensors")
    monkeypatch.setattr(ship, "WEIGHTS", shipped)
    monkeypatch.setattr(ship, "TOKENIZER", shutil.copytree(ship.TOKENIZER, shipped / "tokenizer"))
    torch.manual_seed(0)
    model, vae = Diffusion(ship.tokenizer()).half().float().eval(), make_vae().half().float().eval()
    ship.checkpoint(model.unet, vae, model.text)
    pipeline = read_single_file(shipped / "pocket.safetensors", torch.float32, tokenizer=ship.TOKENIZER)
    latents, steps, tokens = torch.randn(1, 4, 16, 16), torch.tensor([300]), ship.tokenizer()
    text = tokens(["a red star"], padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        embeds = pipeline.encode_prompt("a red star", "cpu", 1, False)[0]
        torch.testing.assert_close(embeds, model.text(text).last_hidden_state)
        torch.testing.assert_close(
            pipeline.unet(latents, steps, embeds).sample, model(latents, steps, text), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(pipeline.vae.decode(latents).sample, vae.decode(latents).sample)
    assert len(cross_attentions(pipeline.unet)) == 16


def test_an_interrupted_stage_continues_exactly(tmp_path: Path) -> None:
    def loss(model: nn.Module, lot: random.Random) -> tuple[Tensor, dict[str, float]]:
        value = (model(torch.randn(4, 3)) - lot.random()).square().mean()
        return value, {}

    def run(folder: Path, steps: int, total: int) -> nn.Module:
        torch.manual_seed(0)
        plan = Plan("stage", total, 1e-2, save_seconds=0)

        def stopping(model: nn.Module, lot: random.Random) -> tuple[Tensor, dict[str, float]]:
            calls.append(None)
            if len(calls) > steps:
                raise KeyboardInterrupt
            return loss(model, lot)

        calls: list[None] = []
        return train(nn.Linear(3, 2), stopping, plan, folder, Accelerator(cpu=True))

    whole = run(tmp_path / "whole", 99, 12)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", 5, 12)
    again = run(tmp_path / "cut", 99, 12)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])
    with pytest.raises(TrainingError, match="another steps"):
        run(tmp_path / "cut", 99, 13)


def test_a_world_is_encoded_once(tmp_path: Path) -> None:
    vae = make_vae().eval()
    first = make_world(vae, 3, 0, True, tmp_path / "world.npy")
    again = make_world(nn.Identity(), 3, 0, True, tmp_path / "world.npy")  # pyright: ignore
    assert first.scenes == again.scenes
    assert torch.equal(first.moments, again.moments)
    assert first.moments.shape == (3, 8, 8, 8)
