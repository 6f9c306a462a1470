"""The way of one picture through the door, with a stand-in for the WebUI; the live suite walks it in the real one."""

from __future__ import annotations

import copy
import gc
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lib_ipadapter.session.library import LIBRARY
from tests.models import TEXT_WIDTH, tiny_unet
from tests.webui.fake_host import FakeProcessing, FakeWebUI
from tests.webui.jobs import UNIT, encoded, run


def test_an_active_unit_changes_the_picture_and_leaves_nothing(webui: FakeWebUI, door: Any) -> None:
    plain = webui.sample()
    latent, processing = run(webui, door, UNIT)
    assert not torch.equal(latent, plain)
    assert processing.extra_generation_params["IP-Adapter 1"].startswith("model: ip-adapter_sd15, scale: 0.6")
    assert (webui.hooks, webui.callbacks) == (0, [])
    assert torch.equal(webui.sample(), plain)


@pytest.mark.parametrize("off", [{"enabled": False}, {"scale": 0}, {"start": 0.6, "end": 0.4}])
def test_a_unit_that_cannot_act_sets_no_hook_and_loads_no_encoder(webui: FakeWebUI, door: Any, off: Any) -> None:
    door.before_sampling(FakeProcessing(), [UNIT | off])
    assert (webui.hooks, webui.callbacks, len(LIBRARY.encoders)) == (0, [], 0)


def step(rows: int, cond: int, prompts: list[int] | None) -> Any:
    """What the WebUI tells of a step. `prompts`: parts of each picture's prompt, as its sampler has them."""
    batch = [[object()] * parts for parts in prompts] if prompts else None
    sampler = SimpleNamespace(sampler_extra_args={"cond": SimpleNamespace(batch=batch)}) if prompts else None
    return SimpleNamespace(
        x=torch.zeros(rows, 1),
        text_cond=torch.zeros(cond, 1),
        text_uncond=torch.zeros(rows - cond, 1),
        denoiser=SimpleNamespace(sampler=sampler),
    )


@pytest.mark.parametrize(
    ("rows", "cond", "prompts", "items"),
    [
        (2, 1, [1], [0, 0]),
        (6, 3, [1, 1, 1], [0, 1, 2, 0, 1, 2]),
        (6, 4, [3, 1], [0, 0, 0, 1, 0, 1]),
        (6, 2, [1, 1], [0, 1, 0, 1, 0, 1]),  # InstructPix2Pix
        (4, 2, None, [0, 1, 0, 1]),
        (4, 2, [1, 1, 1], [0, 1, 0, 1]),
    ],
)
def test_each_row_of_a_step_is_of_its_own_picture(
    webui: FakeWebUI, rows: int, cond: int, prompts: list[int] | None, items: list[int]
) -> None:
    from lib_ipadapter.hosts.a1111_steps import step_items

    assert step_items(step(rows, cond, prompts)) == items


def test_each_batch_of_a_job_goes_on_counting_its_pictures(webui: FakeWebUI, door: Any) -> None:
    """As a batch count of 3 is sampled: one picture in each batch, each with a reference of its own."""
    colours = [encoded(turn) for turn in (0, 90, 180)]
    alone = [run(webui, door, UNIT | {"image": colour})[0] for colour in colours]
    unit = UNIT | {"image": colours[0], "images": colours[1:], "combine": "batch"}
    processing = FakeProcessing()
    for number in range(4):
        processing.iteration = number
        door.before_sampling(processing, [unit])
        torch.testing.assert_close(webui.sample(), alone[number % 3], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(alone[0], alone[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tiles", [1, 2])
def test_rows_keep_their_roles_in_separate_calls_and_in_tiles(webui: FakeWebUI, door: Any, tiles: int) -> None:
    door.before_sampling(FakeProcessing(), [UNIT])
    at_once = webui.sample()
    apart = webui.sample(together=False, tiles=tiles)
    torch.testing.assert_close(apart, at_once, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("together", [True, False])
def test_an_extension_that_calls_the_model_once_more_in_a_step_sees_the_picture_too(
    webui: FakeWebUI, door: Any, together: bool
) -> None:
    door.before_sampling(FakeProcessing(), [UNIT])
    once = webui.sample()
    torch.testing.assert_close(webui.sample(together=together, again=True), once, rtol=1e-4, atol=1e-5)


def test_what_an_exception_left_open_is_closed_when_the_job_is_gone(webui: FakeWebUI, door: Any) -> None:
    processing = FakeProcessing()
    door.before_sampling(processing, [UNIT])
    assert webui.hooks > 0
    del processing
    gc.collect()
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_what_an_exception_left_open_is_closed_by_the_next_job(webui: FakeWebUI, door: Any) -> None:
    broken, following = FakeProcessing(), FakeProcessing()
    door.before_sampling(broken, [UNIT])
    door.process(following, [])
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_hooks_that_an_exception_left_behind_do_nothing(webui: FakeWebUI, door: Any) -> None:
    """The WebUI's own frames keep a failed job alive until the next garbage collection."""
    broken = FakeProcessing()
    door.before_sampling(broken, [UNIT])
    with pytest.raises(ZeroDivisionError):
        webui.sample(fail=True)
    sample, text = torch.ones(1, 4, 16, 16), torch.ones(1, 77, TEXT_WIDTH)
    with torch.no_grad():
        left = webui.unet(sample, torch.tensor(5), text).sample
        hooks = webui.hooks
        door.close()
        assert torch.equal(left, webui.unet(sample, torch.tensor(5), text).sample)
    assert hooks > 0


def test_the_end_of_an_older_job_does_not_close_a_newer_one(webui: FakeWebUI, door: Any) -> None:
    older, newer = FakeProcessing(), FakeProcessing()
    door.before_sampling(older, [UNIT])
    door.before_sampling(newer, [UNIT])
    hooks = webui.hooks
    del older
    gc.collect()
    assert webui.hooks == hooks > 0


def test_hooks_follow_a_checkpoint_that_is_switched_in_the_middle(webui: FakeWebUI, door: Any) -> None:
    processing = FakeProcessing()
    door.before_sampling(processing, [UNIT])
    old, hooks = webui.unet, webui.hooks
    webui.unet = tiny_unet(seed=1)
    webui.sample()
    assert webui.hooks == hooks
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in old.modules())


def test_a_hundred_jobs_leave_no_hook_and_encode_the_picture_once(
    webui: FakeWebUI, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_ipadapter.model.vision import ImageEncoder

    encode, count = ImageEncoder.encode, []
    monkeypatch.setattr(ImageEncoder, "encode", lambda *args: count.append(1) or encode(*args))
    for _ in range(100):
        door.before_sampling(FakeProcessing(), [UNIT])
        door.close()
    assert (webui.hooks, webui.callbacks, len(count)) == (0, [], 1)


def test_arguments_are_parsed_once_for_all_batches_and_passes_of_a_job(
    webui: FakeWebUI, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_ipadapter.webui import parsed as module

    parse, count = module.parse_units, []
    monkeypatch.setattr(module, "parse_units", lambda args: count.append(1) or parse(args))
    first, second, unit = FakeProcessing(), FakeProcessing(), dict(UNIT)
    for processing, args in [(first, [unit]), (first, [unit]), (second, [unit]), (second, [UNIT | {"scale": 1.0}])]:
        door.before_sampling(processing, args)
    assert len(count) == 2
    unit["scale"] = 0.0  # as another extension may, in place
    door.before_sampling(first, [unit])
    assert (len(count), webui.hooks) == (3, 0)
    del first, second, processing
    gc.collect()
    assert len(door._parsed) == 0


def test_in_a_grid_no_cell_has_the_parameters_of_the_cell_before(webui: FakeWebUI, door: Any) -> None:
    first = FakeProcessing()
    door.process(first, [UNIT])
    assert "IP-Adapter 1" in first.extra_generation_params
    second = copy.copy(first)
    door.process(second, [UNIT | {"scale": 0.0}])
    assert not any(key.startswith("IP-Adapter") for key in second.extra_generation_params)


def test_the_encoder_computes_in_its_own_precision_where_the_webui_casts_by_hand(
    webui: FakeWebUI, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """devices.py: manual_cast replaces the forward of whole classes, and keeps the original as `org_forward`."""
    from lib_ipadapter.hosts.a1111 import A1111Host

    original = torch.nn.Linear.forward
    monkeypatch.setattr(torch.nn.Linear, "org_forward", original, raising=False)
    monkeypatch.setattr(torch.nn.Linear, "forward", lambda self, x: original(self.half(), x.half()))
    cast = torch.nn.Linear.forward
    with A1111Host(FakeProcessing(), pytest.fail).full_precision():
        assert torch.nn.Linear.forward is original
    assert torch.nn.Linear.forward is cast


def test_the_texts_of_a_models_rows_are_found_under_either_name(door: Any) -> None:
    from lib_ipadapter.hosts.a1111_steps import texts_of

    text = torch.zeros(2, 77, 4)
    given = {"c_concat": [torch.zeros(2, 5)]}
    for cond in ({"c_crossattn": [text], **given}, {"crossattn": text, "vector": torch.zeros(2, 8), **given}):
        assert texts_of(cond) is text
    assert (texts_of(None), texts_of(given)) == (None, None)
