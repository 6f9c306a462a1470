"""Whole generations through a pipeline; diffusers' own IP-Adapter on the same weights is the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.hosts.diffusers import DiffusersHost
from lib_ipadapter.hosts.diffusers_checkpoint import SAMPLERS, use_sampler
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.hooks import attributes, hook_count
from tests.hosts.originals import NUMPY
from tests.models import TEXT_WIDTH, tiny_adapter, tiny_encoder, tiny_pipeline

STEPS = 4


def picture(seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (70, 60, 3), dtype=np.uint8))


def sample(pipeline: Any, **more: Any) -> Tensor:
    text, negative = torch.randn(2, 1, 77, TEXT_WIDTH, generator=torch.Generator().manual_seed(1))
    asked = {
        "prompt_embeds": text,
        "negative_prompt_embeds": negative,
        "num_inference_steps": STEPS,
        "guidance_scale": 5.0,
        "height": 128,
        "width": 128,
        "output_type": "latent",
        "generator": torch.Generator().manual_seed(2),
    }
    return pipeline(**(asked | more)).images


def ours(models: Path, units: Sequence[Unit], **more: Any) -> Tensor:
    pipeline = tiny_pipeline()
    with Generation(host_of(pipeline, models), units, Library()):
        return sample(pipeline, **more)


def host_of(pipeline: Any, models: Path) -> DiffusersHost:
    return DiffusersHost(pipeline, adapter_folders=[models / "adapters"], encoder_folders=[models / "encoder"])


def with_their_adapters(units: Sequence[Unit]) -> Any:
    pipeline: Any = tiny_pipeline()
    adapters = [tiny_adapter(Kind(unit.model)) for unit in units]
    states = [{"image_proj": a.image_proj.state_dict(), "ip_adapter": a.ip_adapter.state_dict()} for a in adapters]
    pipeline.unet._load_ip_adapter_weights(states, low_cpu_mem_usage=False)
    pipeline.set_ip_adapter_scale([unit.scale for unit in units])
    return pipeline


def their_embeds(unit: Unit, guided: bool = True) -> Tensor:
    """What diffusers takes for one adapter: unconditional features, then conditional."""
    encoder, feature = ImageEncoder(tiny_encoder()), tiny_adapter(Kind(unit.model)).variant.feature
    place = (torch.device("cpu"), torch.float32)
    assert unit.image is not None
    cond = encoder.encode(unit.image, *place).get(feature)
    nothing = torch.zeros_like(cond) if unit.model == "base" else encoder.encode_zeros(*place).get(feature)
    return torch.cat([nothing, cond] if guided else [cond])[:, None]


def theirs(units: Sequence[Unit], **more: Any) -> Tensor:
    guided = more.get("guidance_scale", 5.0) > 1
    embeds = [their_embeds(unit, guided) for unit in units]
    return sample(with_their_adapters(units), ip_adapter_image_embeds=embeds, **more)


def assert_same(first: Tensor, second: Tensor) -> None:
    torch.testing.assert_close(first / second.std(), second / second.std(), rtol=0, atol=2e-5)


@pytest.mark.parametrize(("kind", "scale"), [*zip(PICTURE_KINDS, [0.25, 0.6, 1.0], strict=True), (Kind.BASE, 1.0)])
def test_a_generation_equals_diffusers_at_every_scale(models: Path, kind: Kind, scale: float) -> None:
    unit = Unit(image=picture(), model=kind.value, scale=scale)
    assert_same(ours(models, [unit]), theirs([unit]))


def test_several_units_equal_diffusers(models: Path) -> None:
    units = [Unit(image=picture(n), model=kind.value, scale=0.3 + n / 5) for n, kind in enumerate(PICTURE_KINDS)]
    assert_same(ours(models, units), theirs(units))


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        pytest.param(Kind.FULL, {"guidance_scale": 1.0}, id="no guidance"),
        pytest.param(Kind.BASE, {"num_images_per_prompt": 3}, id="three pictures"),
        pytest.param(Kind.PLUS, {"num_images_per_prompt": 2, "guidance_scale": 1.0}, id="two pictures, no guidance"),
        pytest.param(Kind.PLUS, {"height": 64, "width": 192}, id="not square"),
    ],
)
def test_rows_have_the_roles_that_diffusers_gives_them(models: Path, kind: Kind, asked: dict[str, Any]) -> None:
    unit = Unit(image=picture(), model=kind.value, scale=0.8)
    assert_same(ours(models, [unit], **asked), theirs([unit], **asked))


@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_each_picture_of_a_batch_has_a_reference_of_its_own(models: Path, guidance: float) -> None:
    many = Unit(images=(picture(0), picture(1)), model="plus", scale=0.8, combine="batch")
    ours_each = ours(models, [many], num_images_per_prompt=2, guidance_scale=guidance)
    for number in range(2):
        alone = Unit(image=picture(number), model="plus", scale=0.8)
        assert_same(ours_each[number], ours(models, [alone], num_images_per_prompt=2, guidance_scale=guidance)[number])
    assert not torch.equal(*ours(models, [many], num_images_per_prompt=2)[:2])
    options = {"num_images_per_prompt": 2, "guidance_scale": guidance}
    other = replace(many, images=many.images[::-1])
    assert_same(ours(models, [replace(many, batch_start=1)], **options), ours(models, [other], **options))


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.5), (0.5, 1.0), (0.25, 0.75)])
def test_start_and_end_equal_diffusers_switched_at_these_steps(models: Path, start: float, end: float) -> None:
    unit = Unit(image=picture(), model="base", scale=0.9, start=start, end=end)
    pipeline = with_their_adapters([unit])

    def switch(step: int) -> None:
        pipeline.set_ip_adapter_scale(unit.scale if start <= step / STEPS < end else 0.0)

    def after(_: Any, step: int, __: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        switch(step + 1)
        return kwargs

    switch(0)
    switched = sample(pipeline, ip_adapter_image_embeds=[their_embeds(unit)], callback_on_step_end=after)
    assert_same(ours(models, [unit]), switched)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_after_closing_the_pipeline_is_bit_equal_to_before(models: Path, kind: Kind) -> None:
    pipeline = tiny_pipeline()
    before, hooks, written = sample(pipeline), hook_count(pipeline.unet), attributes(pipeline.unet)
    with Generation(host_of(pipeline, models), [Unit(image=picture(), model=kind.value)], Library()):
        between = sample(pipeline)
    assert not torch.equal(between, before)
    assert torch.equal(sample(pipeline), before)
    assert (hook_count(pipeline.unet), attributes(pipeline.unet)) == (hooks, written)


@pytest.mark.parametrize("off", [{"enabled": False}, {"scale": 0.0}, {"start": 0.5, "end": 0.5}], ids=str)
def test_a_unit_that_cannot_act_changes_no_bit_and_reads_no_file(tmp_path: Path, off: dict[str, Any]) -> None:
    unit = Unit(image=picture(), model="not there", **off)
    assert torch.equal(ours(tmp_path, [unit]), sample(tiny_pipeline()))


def test_an_exception_in_the_middle_leaves_no_hook(models: Path) -> None:
    pipeline = tiny_pipeline()
    before, hooks = sample(pipeline), hook_count(pipeline.unet)

    def stop(*_: Any) -> dict[str, Any]:
        raise KeyboardInterrupt

    with (
        pytest.raises(KeyboardInterrupt),
        Generation(host_of(pipeline, models), [Unit(image=picture(), model="base")], Library()),
    ):
        sample(pipeline, callback_on_step_end=stop)
    assert hook_count(pipeline.unet) == hooks
    assert torch.equal(sample(pipeline), before)


@pytest.mark.filterwarnings(NUMPY)
@pytest.mark.parametrize("name", SAMPLERS)
def test_progress_goes_from_nothing_to_less_than_one_with_every_sampler(models: Path, name: str) -> None:
    pipeline = tiny_pipeline()
    use_sampler(pipeline, name)
    seen: list[float] = []
    with host_of(pipeline, models).follow(lambda progress, *_: seen.append(progress)):
        sample(pipeline)
    assert seen[0] == 0.0
    assert seen == sorted(seen)
    assert 0.5 <= seen[-1] < 1.0
    assert hook_count(pipeline.unet) == 0
