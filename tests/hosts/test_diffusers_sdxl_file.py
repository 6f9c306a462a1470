"""SDXL from a single file: it computes as ldm's classes and OpenCLIP do, at any size, from local files alone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from lib_ipadapter.hosts.diffusers_single_file import sdxl
from lib_ipadapter.hosts.diffusers_single_file.config import SDXL
from lib_ipadapter.hosts.diffusers_single_file.parts import Original
from lib_ipadapter.patch.layers import cross_attentions
from tests.hosts.originals import (
    NUMPY,
    TEXT_WIDTH,
    ldm_vae,
    original_text_encoder,
    original_vae,
    params,
    text_tensors,
    write_tokenizer,
)
from tests.hosts.originals_sdxl import (
    POOLED,
    WIDTH,
    OpenClip,
    original_open_clip,
    original_sdxl_unet,
    run_sgm,
    sdxl_params,
    sgm_unet,
    write_sdxl,
)
from tests.hosts.reading import CPU, read, refusal

UNET, OPEN_CLIP = "model.diffusion_model.", "conditioner.embedders.1.model."


@pytest.fixture(scope="module")
def pipeline(sdxl_file: Path) -> Any:
    return read(sdxl_file)


@torch.no_grad()
def test_the_unet_computes_as_ldms_classes_do(pipeline: Any) -> None:
    torch.manual_seed(3)
    noise, text, pooled = torch.randn(2, 4, 16, 16), torch.randn(2, 77, TEXT_WIDTH + WIDTH), torch.randn(2, POOLED)
    sizes = torch.tensor([[768.0, 1024, 8, 16, 512, 640], [1024.0, 1024, 0, 0, 1024, 1024]])
    wanted = run_sgm(original_sdxl_unet(), noise, 321, text=text, pooled=pooled, sizes=sizes)
    given = {"text_embeds": pooled, "time_ids": sizes}
    found = pipeline.unet(noise, 321, text, added_cond_kwargs=given).sample
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)
    assert len(cross_attentions(pipeline.unet)) == 70


@torch.no_grad()
def test_the_autoencoder_computes_as_ldm_does_both_ways(pipeline: Any) -> None:
    torch.manual_seed(3)
    vae: Any = original_vae()
    latents, pixels = torch.randn(1, 4, 8, 8), torch.randn(1, 3, 64, 64)
    wanted = vae["decoder"](vae["post_quant_conv"](latents))
    torch.testing.assert_close(pipeline.vae.decode(latents).sample, wanted, rtol=0, atol=1e-4)
    mean = vae["quant_conv"](vae["encoder"](pixels)).chunk(2, dim=1)[0]
    torch.testing.assert_close(pipeline.vae.encode(pixels).latent_dist.mean, mean, rtol=0, atol=1e-4)
    assert pipeline.vae.config.scaling_factor == 0.13025
    assert pipeline.vae.config.force_upcast


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["", "a cat", "a cat! and a dog!!", "word " * 40])
def test_a_prompt_is_encoded_by_both_towers_as_each_was_trained(pipeline: Any, prompt: str) -> None:
    ids = numbered(prompt, pipeline.tokenizer.get_vocab())
    first, second = torch.tensor([padded(ids, ids[-1])]), torch.tensor([padded(ids, 0)])
    wide, pooled = original_open_clip()(second)
    narrow = original_text_encoder()(first, output_hidden_states=True).hidden_states[-2]
    text, _, found, _ = pipeline.encode_prompt(prompt, device=CPU, do_classifier_free_guidance=False)
    torch.testing.assert_close(text, torch.cat([narrow, wide], dim=-1), rtol=0, atol=1e-4)
    torch.testing.assert_close(found, pooled, rtol=0, atol=1e-4)


def numbered(prompt: str, numbers: dict[str, int]) -> list[int]:
    """As OpenCLIP reads a prompt with the vocabulary of `write_tokenizer`: letters, the last of a word by itself."""
    letters = [f"{c}</w>" if n == len(word) else c for word in words(prompt) for n, c in enumerate(word, start=1)]
    return [numbers[word] for word in ("<|startoftext|>", *letters[:75], "<|endoftext|>")]


def words(prompt: str) -> list[str]:
    return re.findall(r"[a-z]+|!+", prompt)


def padded(ids: list[int], padding: int) -> list[int]:
    return ids + [padding] * (77 - len(ids))


def test_a_single_file_and_its_folder_are_one_checkpoint(pipeline: Any, tmp_path: Path) -> None:
    pipeline.save_pretrained(tmp_path / "folder")
    other = read(tmp_path / "folder")
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        mine, theirs = getattr(pipeline, part).state_dict(), getattr(other, part).state_dict()
        assert all(torch.equal(theirs[key], value) for key, value in mine.items())
    assert other.tokenizer_2.pad_token_id == 0
    assert other.tokenizer.pad_token_id == other.tokenizer.eos_token_id


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_every_part_is_of_the_type_that_was_asked_for(suffix: str, tmp_path: Path) -> None:
    path = write_sdxl(tmp_path / f"tiny{suffix}")
    write_tokenizer(tmp_path / "tokenizer")
    half = read(path, torch.bfloat16)
    assert {half.unet.dtype, half.vae.dtype, half.text_encoder.dtype, half.text_encoder_2.dtype} == {torch.bfloat16}


def meta_tensors() -> dict[str, Tensor]:
    """A file as large as the published ones, without its numbers."""
    sizes = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12, "num_hidden_layers": 12}
    with torch.device("meta"):
        parts = {
            UNET: sgm_unet(SDXL["network_config"]["params"]),
            "first_stage_model.": ldm_vae(SDXL["first_stage_config"]["params"]["ddconfig"]),
            OPEN_CLIP: OpenClip(1280, layers=32, words=49408, pooled=1280),
        }
        clip = text_tensors(CLIPTextModel(CLIPTextConfig(**sizes)), "conditioner.embedders.0.transformer.")
    return clip | {prefix + key: value for prefix, part in parts.items() for key, value in part.state_dict().items()}


def test_without_a_configuration_the_sizes_are_those_of_sdxl(tmp_path: Path) -> None:
    original = Original("sdxl.safetensors", SDXL, meta_tensors(), torch.float16)
    found = sdxl.read(original, write_tokenizer(tmp_path / "tokenizer"))
    counts = {name: sum(p.numel() for p in getattr(found, name).parameters()) for name in PUBLISHED}
    assert counts == PUBLISHED
    assert (found.unet.config["addition_time_embed_dim"], found.unet.config["sample_size"]) == (256, 128)
    assert found.text_encoder_2.config.num_attention_heads == 20


PUBLISHED = {
    "unet": 2_567_463_684,
    "vae": 83_653_863,
    "text_encoder": 123_060_480,
    "text_encoder_2": 694_659_840,
}
"""Numbers of parameters."""


def test_the_noise_levels_are_those_of_sdxl(pipeline: Any) -> None:
    found = pipeline.scheduler.config
    assert (found.beta_start, found.beta_end, found.num_train_timesteps) == (0.00085, 0.012, 1000)
    assert (found.prediction_type, found.timestep_spacing) == ("epsilon", "leading")


def test_v_prediction_is_read_from_the_configuration(sdxl_file: Path, tmp_path: Path) -> None:
    config = sdxl_params() | {"denoiser_config": {"params": {"scaling_config": {"target": "sgm.denoiser.VScaling"}}}}
    (tmp_path / "v.yaml").write_text(yaml.safe_dump({"model": {"params": config}}))
    assert read(sdxl_file, config=tmp_path / "v.yaml").scheduler.config.prediction_type == "v_prediction"


@pytest.mark.filterwarnings(NUMPY)
def test_v_prediction_and_zero_snr_are_read_from_the_file_itself(tmp_path: Path) -> None:
    path = write_sdxl(tmp_path / "tiny.safetensors", {"v_pred": torch.zeros(0), "ztsnr": torch.zeros(0)})
    write_tokenizer(tmp_path / "tokenizer")
    scheduler = read(path).scheduler
    assert scheduler.config.prediction_type == "v_prediction"
    assert scheduler.alphas_cumprod[-1] < 1e-6
    scheduler.set_timesteps(10)
    assert scheduler.timesteps[0] == 999


def without(prefix: str) -> Callable[[dict[str, Tensor]], object]:
    return lambda tensors: [tensors.pop(key) for key in list(tensors) if key.startswith(prefix)]


def first_convolution(channels: int) -> Callable[[dict[str, Tensor]], object]:
    key = f"{UNET}input_blocks.0.0.weight"
    return lambda tensors: tensors.update({key: torch.zeros(32, channels, 3, 3)})


BAD: dict[str, tuple[Callable[[dict[str, Tensor]], object], str]] = {
    "refiner": (lambda t: t.update({"conditioner.embedders.0.model.ln_final.bias": torch.zeros(1)}), "SDXL refiner"),
    "playground": (lambda t: t.update({"edm_mean": torch.zeros(1, 4, 1, 1)}), "Playground"),
    "cosxl": (lambda t: t.update({"edm_vpred.sigma_max": torch.zeros(())}), "CosXL"),
    "inpainting": (first_convolution(9), "an inpainting checkpoint: its UNet takes 9 channels, expected the 4"),
    "instruct pix2pix": (first_convolution(8), "an InstructPix2Pix checkpoint"),
    "another condition": (first_convolution(7), "more than text"),
    "no autoencoder": (without("first_stage_model."), "has no keys first_stage_model.*;"),
    "no second text encoder": (without(OPEN_CLIP), f"has no keys {OPEN_CLIP}*;"),
    "unet alone": (lambda t: [t.pop(k) for k in list(t) if not k.startswith(UNET)], "has no keys first_stage_model.*"),
    "cut short": (without(f"{UNET}output_blocks.8"), "tensors of the UNet are missing"),
    "no middle of the text": (without(f"{OPEN_CLIP}transformer.resblocks.1"), "of the second text encoder"),
    "no projection": (without(f"{OPEN_CLIP}text_projection"), "text_projection"),
}


@pytest.mark.parametrize(("spoil", "said"), BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_a_sentence(
    spoil: Callable[[dict[str, Tensor]], object], said: str, sdxl_file: Path, tmp_path: Path
) -> None:
    tensors = load_file(sdxl_file)
    spoil(tensors)
    save_file(tensors, tmp_path / "bad.safetensors")
    beside = {"config": sdxl_file.with_suffix(".yaml"), "tokenizer": sdxl_file.parent / "tokenizer"}
    sentence = refusal(tmp_path / "bad.safetensors", **beside)
    assert said in sentence
    assert "bad" in sentence


def test_other_sizes_without_their_configuration_are_a_sentence(sdxl_file: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(sdxl_file, tmp_path / "alone.safetensors"))
    sentence = refusal(alone, tokenizer=sdxl_file.parent / "tokenizer")
    assert "are missing from alone.safetensors" in sentence
    assert "put its YAML beside it" in sentence


def test_sizes_that_the_configuration_does_not_say_are_a_sentence(sdxl_file: Path, tmp_path: Path) -> None:
    config = sdxl_params()
    config["network_config"] = {"params": config["network_config"]["params"] | {"context_dim": 48}}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump({"model": {"params": config}}))
    sentence = refusal(sdxl_file, config=tmp_path / "other.yaml")
    assert "In the UNet of tiny.safetensors" in sentence
    assert f"is [32, {TEXT_WIDTH + WIDTH}], expected [32, 48]" in sentence


def test_the_configuration_of_another_family_is_a_sentence(sdxl_file: Path, tmp_path: Path) -> None:
    (tmp_path / "sd15.yaml").write_text(yaml.safe_dump({"model": {"params": params()}}))
    assert "of an SDXL checkpoint" in refusal(sdxl_file, config=tmp_path / "sd15.yaml")


def test_a_configuration_without_the_scale_of_latents_means_sdxls(sdxl_file: Path, tmp_path: Path) -> None:
    config = sdxl_params()
    del config["scale_factor"]
    (tmp_path / "bare.yaml").write_text(yaml.safe_dump({"model": {"params": config}}))
    assert read(sdxl_file, config=tmp_path / "bare.yaml").vae.config.scaling_factor == 0.13025


def test_a_configuration_that_says_too_little_is_a_sentence(sdxl_file: Path, tmp_path: Path) -> None:
    config = sdxl_params()
    config["network_config"] = {"params": {"in_channels": 4, "model_channels": 32}}
    (tmp_path / "poor.yaml").write_text(yaml.safe_dump({"model": {"params": config}}))
    assert "does not say 'channel_mult'" in refusal(sdxl_file, config=tmp_path / "poor.yaml")


def test_a_tokenizer_is_taken_from_where_the_configuration_says(sdxl_file: Path, tmp_path: Path) -> None:
    alone = Path(shutil.copy(sdxl_file, tmp_path / "alone.safetensors"))
    named = {"params": {"version": str(write_tokenizer(tmp_path / "named"))}}
    config = sdxl_params() | {"conditioner_config": {"params": {"emb_models": [named]}}}
    alone.with_suffix(".yaml").write_text(yaml.safe_dump({"model": {"params": config}}))
    assert read(alone).tokenizer_2("cat").input_ids
