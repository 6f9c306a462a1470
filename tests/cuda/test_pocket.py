"""The pocket model on a CUDA device: the picture that the CPU makes, and hosts that choose the device."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_ipadapter.cli import device as device_of
from lib_ipadapter.cli import picture as command
from lib_ipadapter.hosts.diffusers import DiffusersHost
from lib_ipadapter.hosts.diffusers_checkpoint import Beside, read_pipeline, use_sampler
from lib_ipadapter.hosts.without import NoHost
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from pocket import ship
from pocket.draw import draw
from pocket.scenes import SIZE, sample_scene

KINDS = (Kind.BASE, Kind.PLUS)
CPU = torch.device("cpu")
NOISE = torch.randn(1, 4, SIZE // 8, SIZE // 8, generator=torch.Generator().manual_seed(1))
"""Drawn in float32: torch 2.11 draws other numbers in half precision."""
CLOSE = {torch.float32: 0.5, torch.float16: 1.5}
"""Levels of 255 by which a picture may differ on average, convolutions in TF32."""


def reference() -> Image.Image:
    return draw(sample_scene(random.Random(3)))


def unit(kind: Kind, scale: float = 1.0) -> Unit:
    return Unit(image=reference(), model=ship.adapter_path(kind).stem, scale=scale)


def host_on(device: torch.device, dtype: torch.dtype) -> DiffusersHost:
    pipeline: Any = read_pipeline(ship.CHECKPOINT, device, dtype, Beside(tokenizer=ship.TOKENIZER))
    pipeline.set_progress_bar_config(disable=True)
    use_sampler(pipeline, "dpm++2m")
    return DiffusersHost(pipeline, adapter_folders=[ship.WEIGHTS], encoder_folders=[ship.ENCODER])


def drawn(host: DiffusersHost, *units: Unit) -> np.ndarray:
    """``[SIZE, SIZE, 3]``, 0 to 255."""
    pipeline: Any = host.pipeline
    with Generation(host, units, Library()):
        made = pipeline(
            "a red star",
            num_inference_steps=8,
            guidance_scale=6.0,
            width=SIZE,
            height=SIZE,
            latents=NOISE.to(host.device, host.dtype),
            output_type="np",
        )
    return 255 * made.images[0].astype(np.float32)


@cache
def on_the_cpu(kind: Kind, scale: float = 1.0) -> np.ndarray:
    return drawn(host_on(CPU, torch.float32), unit(kind, scale))


def off(found: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.abs(found - wanted).mean())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", CLOSE, ids=str)
def test_noise_and_a_reference_make_the_picture_that_they_make_on_the_cpu(
    dtype: torch.dtype, kind: Kind, device: torch.device
) -> None:
    host = host_on(device, dtype)
    assert (host.device, host.dtype) == (device, dtype)
    plain = drawn(host)
    found = drawn(host, unit(kind))
    assert np.isfinite(found).all()
    assert off(found, on_the_cpu(kind)) < CLOSE[dtype] < 10 < off(found, plain)
    assert np.array_equal(drawn(host), plain)
    assert off(plain, on_the_cpu(kind, 0.0)) < CLOSE[dtype]


@pytest.mark.parametrize("kind", KINDS)
def test_keys_and_values_computed_there_are_kept_on_the_cpu_and_those_of_the_cpu(
    kind: Kind, device: torch.device
) -> None:
    path = ship.adapter_path(kind)
    hosts = [host_on(CPU, torch.float32), host_on(device, torch.float16)]
    wanted, found = (Library().key_values(unit(kind), path, host).layers for host in hosts)
    for mine, theirs in zip(found, wanted, strict=True):
        for one, other in ((mine.key, theirs.key), (mine.value, theirs.value)):
            assert (one.device, one.dtype) == (CPU, torch.float32)
            assert float((one - other).norm() / other.norm()) < 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16], ids=str)
def test_the_encoder_sees_there_what_it_sees_on_the_cpu(dtype: torch.dtype, device: torch.device) -> None:
    encoder = ImageEncoder.read(ship.ENCODER)
    wanted, found = encoder.encode(reference(), CPU, torch.float32), encoder.encode(reference(), device, dtype)
    for name in ("image_embeds", "hidden_states"):
        mine, theirs = getattr(found, name), getattr(wanted, name)
        assert mine.device == CPU
        assert float((mine - theirs).norm() / theirs.norm()) < 0.01
    assert {parameter.device for parameter in encoder.model.parameters()} == {CPU}


def test_the_command_line_chooses_cuda_in_half_precision(device: torch.device, tmp_path: Path) -> None:
    assert device_of.best_device() == device.type
    chosen = device_of.open_device(None)
    assert chosen == device
    assert NoHost(chosen).dtype is torch.float16
    named = {"checkpoint": ship.CHECKPOINT, "device": None, "config": None, "tokenizer": ship.TOKENIZER}
    pipeline: Any = command.open_pipeline(SimpleNamespace(**named, sampler="ddim"))  # pyright: ignore
    assert (pipeline.device, pipeline.dtype) == (device, torch.float16)
    assert {part.device for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder)} == {device}
