"""Checkpoints from local files: converted as ldm itself computes, refused in one sentence."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from safetensors.torch import save_file

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.hosts.diffusers_checkpoint import SAMPLERS, read_pipeline, use_sampler
from lib_ipadapter.hosts.diffusers_single_file.config import SD15
from tests.hosts.originals import (
    NUMPY,
    TEXT_WIDTH,
    original_tensors,
    original_text_encoder,
    original_unet,
    original_vae,
    write_original,
    write_tokenizer,
)
from tests.hosts.reading import CPU, read, refusal


@pytest.fixture(scope="module")
def pipeline(single_file: Path) -> Any:
    return read(single_file)


@torch.no_grad()
def test_the_unet_of_a_single_file_computes_as_ldm_does(pipeline: Any) -> None:
    torch.manual_seed(3)
    noise, text = torch.randn(2, 4, 16, 16), torch.randn(2, 77, TEXT_WIDTH)
    wanted = original_unet()(noise, torch.tensor([321, 321]), context=text)
    torch.testing.assert_close(pipeline.unet(noise, 321, text).sample, wanted, rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_decoder_of_a_single_file_computes_as_ldm_does(pipeline: Any) -> None:
    torch.manual_seed(3)
    latents, vae = torch.randn(1, 4, 8, 8), original_vae()
    wanted = vae["decoder"](vae["post_quant_conv"](latents))  # pyright: ignore
    torch.testing.assert_close(pipeline.vae.decode(latents).sample, wanted, rtol=0, atol=1e-4)


@torch.no_grad()
def test_the_text_encoder_of_a_single_file_is_the_one_that_was_written(pipeline: Any) -> None:
    ids = torch.tensor([pipeline.tokenizer("a cat").input_ids])
    wanted = original_text_encoder()(ids).last_hidden_state
    torch.testing.assert_close(pipeline.text_encoder(ids).last_hidden_state, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize("folder", [False, True])
def test_the_autoencoder_is_not_rounded_where_all_else_is_in_half(
    folder: bool, pipeline: Any, single_file: Path, tmp_path: Path
) -> None:
    if folder:
        pipeline.save_pretrained(tmp_path)
    half: Any = read_pipeline(tmp_path if folder else single_file, CPU, torch.bfloat16, vae_dtype=torch.float32)
    assert (half.unet.dtype, half.text_encoder.dtype) == (torch.bfloat16, torch.bfloat16)
    wanted = pipeline.vae.state_dict()
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in half.vae.state_dict().items())


def test_a_pickled_checkpoint_is_read_like_a_safetensors_one(pipeline: Any, tmp_path: Path) -> None:
    path = write_original(tmp_path / "tiny.ckpt")
    write_tokenizer(tmp_path / "tokenizer")
    weights = read(path).unet.state_dict()
    assert all(torch.equal(weights[key], value) for key, value in pipeline.unet.state_dict().items())


def test_the_noise_levels_are_those_of_the_configuration(single_file: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(single_file.with_suffix(".yaml").read_text())
    config["model"]["params"] |= {"linear_end": 0.02, "parameterization": "v"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(config))
    scheduler = read(single_file, config=tmp_path / "other.yaml").scheduler.config
    assert (scheduler.beta_end, scheduler.prediction_type) == (0.02, "v_prediction")


def test_a_tokenizer_is_taken_from_where_the_user_says(single_file: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(single_file, tmp_path / "alone.safetensors"))
    shutil.copy(single_file.with_suffix(".yaml"), tmp_path / "alone.yaml")
    assert "give --tokenizer" in refusal(alone)
    assert "elsewhere" in refusal(alone, tokenizer=tmp_path / "elsewhere")
    write_tokenizer(tmp_path / "elsewhere")
    assert read(alone, tokenizer=tmp_path / "elsewhere").tokenizer("cat").input_ids


def test_a_tokenizer_is_taken_from_where_the_configuration_says(single_file: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(single_file, tmp_path / "alone.safetensors"))
    config = yaml.safe_load(single_file.with_suffix(".yaml").read_text())
    config["model"]["params"]["cond_stage_config"]["params"] = {"version": str(write_tokenizer(tmp_path / "named"))}
    alone.with_suffix(".yaml").write_text(yaml.safe_dump(config))
    assert read(alone).tokenizer("cat").input_ids


def test_without_a_configuration_the_sizes_are_those_of_sd15() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, sample_size=64, attention_head_dim=8)
    sizes = SD15["unet_config"]["params"]
    wanted = tuple(sizes["model_channels"] * mult for mult in sizes["channel_mult"])
    assert tuple(unet.config["block_out_channels"]) == wanted
    assert unet.config["cross_attention_dim"] == sizes["context_dim"]
    assert sum(p.numel() for p in unet.parameters()) == 859_520_964  # as published


def test_a_single_file_of_other_sizes_without_its_configuration_is_a_sentence(
    single_file: Path, tmp_path: Path
) -> None:
    alone = Path(shutil.copy(single_file, tmp_path / "alone.safetensors"))
    assert "YAML beside it" in refusal(alone, tokenizer=single_file.parent / "tokenizer")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        pytest.param({"cond_stage_model.model.w": 1}, "SD2", id="sd2"),
        pytest.param({"model.diffusion_model.double_blocks.0.w": 1}, "Flux", id="flux"),
        pytest.param({"model.diffusion_model.joint_blocks.0.w": 1}, "SD3", id="sd3"),
        pytest.param({"down_blocks.0.w": 1}, "diffusers folder", id="a diffusers unet"),
        pytest.param({"lora_unet_w": 1}, "not a whole SD1.5 or SDXL checkpoint", id="lora"),
    ],
)
def test_other_kinds_of_files_are_named(keys: dict[str, int], said: str, tmp_path: Path) -> None:
    save_file({key: torch.zeros(1) for key in keys}, tmp_path / "other.safetensors")
    write_tokenizer(tmp_path / "tokenizer")
    assert said in refusal(tmp_path / "other.safetensors")


SPOILED: dict[str, Callable[[Path], object]] = {
    "not there": lambda _: None,
    "empty": lambda path: path.write_bytes(b""),
    "a web page": lambda path: path.write_text("<!doctype html><p>sign in"),
    "an empty folder": lambda path: path.mkdir(),
    "a folder of something else": lambda path: (
        path.mkdir() or (path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    ),
    "a broken folder": lambda path: (
        path.mkdir() or (path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    ),
    "not json": lambda path: path.mkdir() or (path / "model_index.json").write_text("{"),
    "json of another shape": lambda path: path.mkdir() or (path / "model_index.json").write_text("[]"),
    "part of a checkpoint": lambda path: save_file(
        {key: tensor.clone() for key, tensor in original_tensors().items() if "first_stage" not in key}, path
    ),
}


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_what_cannot_be_read_is_a_sentence(spoil: Callable[[Path], object], single_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    spoil(path)
    sources = {"config": single_file.with_suffix(".yaml"), "tokenizer": single_file.parent / "tokenizer"}
    assert "tiny" in refusal(path, **sources)


@pytest.mark.parametrize("text", ["", "model: 3", "model: {params: 3}", "{", "a: b: c"])
def test_a_configuration_of_something_else_is_a_sentence(text: str, single_file: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    assert "model.params" in refusal(single_file, config=tmp_path / "bad.yaml")


def test_a_folder_is_read_with_its_own_sampler(folder: Path) -> None:
    pipeline = read(folder)
    assert type(pipeline.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipeline.safety_checker is None


def test_a_folder_that_has_half_precision_files_only_is_read(folder: Path, tmp_path: Path) -> None:
    half = Path(shutil.copytree(folder, tmp_path / "half"))
    for weights in half.rglob("*.safetensors"):
        weights.rename(weights.with_suffix(".fp16.safetensors"))
    assert read(half).unet.dtype is torch.float32


def test_an_unknown_sampler_is_a_sentence_that_lists_the_known(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=", ".join(map(str, SAMPLERS)).replace("+", r"\+")):
        use_sampler(read(folder), "eular")


@pytest.mark.filterwarnings(NUMPY)
@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_keeps_the_noise_levels_of_the_checkpoint(
    name: str, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "scheduler", pipeline.scheduler)  # the others' pipeline gets its own back
    before = dict(pipeline.scheduler.config)
    use_sampler(pipeline, name)
    kept = ("beta_start", "beta_end", "beta_schedule", "prediction_type", "num_train_timesteps")
    assert {key: pipeline.scheduler.config[key] for key in kept} == {key: before[key] for key in kept}


def test_ddim_leaves_latents_as_they_are_where_the_checkpoint_does_not_say(single_file: Path) -> None:
    pipeline = read(single_file)
    use_sampler(pipeline, "ddim")
    ddim = pipeline.scheduler
    ddim.set_timesteps(10)
    found = ddim.step(torch.zeros(1, 4, 8, 8), ddim.timesteps[-1], torch.full((1, 4, 8, 8), 3.0))
    assert found.prev_sample.min() > 2.9
    assert ddim.final_alpha_cumprod == ddim.alphas_cumprod[0]


def test_ddim_clips_where_the_checkpoint_says_so(single_file: Path) -> None:
    pipeline = read(single_file)
    pipeline.scheduler.register_to_config(clip_sample=True)
    use_sampler(pipeline, "ddim")
    assert pipeline.scheduler.config.clip_sample
