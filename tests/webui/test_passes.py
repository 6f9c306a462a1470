"""Passes, and jobs inside jobs, with a stand-in for the WebUI."""

from __future__ import annotations

import copy
import gc
from typing import Any

import pytest
import torch

from tests.webui.fake_host import FakeProcessing, FakeWebUI
from tests.webui.jobs import BLUE, JOB, OTHER, RED, UNIT, alone, begin, encoded, inside, new, sampled


@pytest.mark.parametrize(("passes", "first", "hires"), [("both", 1, 1), ("first", 1, 0), ("hires", 0, 1)])
def test_a_unit_acts_in_the_pass_it_is_for_and_rests_in_the_other(
    passes: str, first: int, hires: int, *, webui: FakeWebUI, door: Any
) -> None:
    plain, acting = webui.sample(), alone(webui, door, [UNIT])
    assert not torch.equal(plain, acting)
    units = [UNIT | {"passes": passes}]
    assert torch.equal(alone(webui, door, units), acting if first else plain)
    assert torch.equal(alone(webui, door, units, is_hr_pass=True), acting if hires else plain)


@pytest.mark.parametrize(("detailer", "outer", "inner"), [("also", 1, 1), ("never", 1, 0), ("only", 0, 1)])
def test_a_unit_acts_inside_the_job_as_was_chosen(
    detailer: str, outer: int, inner: int, *, webui: FakeWebUI, door: Any
) -> None:
    plain, acting = webui.sample(), alone(webui, door, [UNIT])
    units = [UNIT | {"detailer": detailer}]
    assert torch.equal(alone(webui, door, units), acting if outer else plain)
    assert torch.equal(inside(webui, door, units)[0], acting if inner else plain)


def test_inside_the_job_each_picture_keeps_its_own_of_several(webui: FakeWebUI, door: Any) -> None:
    pictures = [encoded(), encoded(90)]
    own = [alone(webui, door, [UNIT | {"image": picture}]) for picture in pictures]
    unit = UNIT | {"image": None, "images": pictures, "combine": "batch"}
    for place in (0, 1):
        found = inside(webui, door, [unit], batch_size=2, batch_index=place)[0]
        torch.testing.assert_close(found, own[place], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(*own, rtol=1e-4, atol=1e-5)


def test_after_a_job_inside_it_the_next_batch_is_as_the_first(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "never"}]

    def job(processing: FakeProcessing) -> list[torch.Tensor]:
        door.process(processing, units)
        found = []
        for _ in range(3):
            found.append(sampled(webui, door, processing, units))
            alone(webui, door, [])
        return found

    latents = JOB(job, new())
    assert not torch.equal(latents[0], webui.sample())
    assert all(torch.equal(latents[0], latent) for latent in latents)


def test_a_job_that_fails_is_not_taken_for_one_around_the_next(webui: FakeWebUI, door: Any) -> None:
    """Its end is never reported, and it may live on; the next job is no part of it."""
    units = [UNIT | {"detailer": "never"}]
    broken = new()
    JOB(lambda p: door.process(p, units), broken)
    assert not torch.equal(alone(webui, door, units), webui.sample())
    assert broken.extra_generation_params


def test_one_job_after_another_in_a_script_is_not_inside_it(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "only"}]
    assert all(torch.equal(alone(webui, door, units), webui.sample()) for _ in range(2))


def test_a_function_of_the_same_name_elsewhere_is_no_job(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "only"}]
    assert torch.equal(OTHER(lambda: alone(webui, door, units)), webui.sample())


def test_a_job_in_one_that_has_no_scripts_is_inside_it(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "only"}]
    assert not torch.equal(JOB(lambda _: alone(webui, door, units), new()), webui.sample())


def test_the_parameters_of_the_picture_are_its_own(webui: FakeWebUI, door: Any) -> None:
    """The job inside, and the next, do not change a word, even where they share one dictionary."""
    units = [UNIT | {"detailer": "only"}]
    _, outer = inside(webui, door, units)
    assert set(outer.extra_generation_params) == {"IP-Adapter 1"}
    assert "detailer: only" in outer.extra_generation_params["IP-Adapter 1"]


def test_a_beginning_that_is_reported_again_leaves_what_a_failure_has_said(webui: FakeWebUI, door: Any) -> None:
    """As ADetailer does after each batch, with a copy that shares the parameters."""
    webui.opts.data["ip_adapter_go_on"] = True
    units = [UNIT | {"model": "nope"}]

    def job(processing: FakeProcessing) -> FakeProcessing:
        for _ in range(2):  # batch files use one processing object again and again
            door.process(processing, units)
            assert set(processing.extra_generation_params) == {"IP-Adapter 1"}
            sampled(webui, door, processing, units)
            door.process(copy.copy(processing), units)
            assert set(processing.extra_generation_params) == {"IP-Adapter error"}
        return processing

    JOB(job, new())


def test_a_failure_inside_is_said_of_the_picture_because_the_webui_swallows_it(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"model": "nope", "detailer": "only"}]

    def job(outer: FakeProcessing) -> FakeProcessing:
        door.process(outer, units)
        sampled(webui, door, outer, units)
        with pytest.raises(Exception, match="no IP-Adapter model called 'nope'"):
            alone(webui, door, units)
        return outer

    outer = JOB(job, new())
    assert "'nope'" in outer.extra_generation_params["IP-Adapter error"]
    assert len(outer.comments) == 1
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_jobs_inside_jobs_leave_nothing_behind(webui: FakeWebUI, door: Any) -> None:
    inside(webui, door, [UNIT])
    gc.collect()
    assert len(door._parsed) == 0
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_a_picture_of_a_batch_that_is_upscaled_keeps_its_own_reference(webui: FakeWebUI, door: Any) -> None:
    """The button makes a job of one picture; only the parameters that it reads know which one of the batch it was."""
    from tests.live.client import encode

    several = UNIT | {"image": None, "images": [encode(RED), encode(BLUE)], "combine": "batch"}
    space: dict[str, Any] = {"__name__": "modules.txt2img"}
    exec("def txt2img_upscale(work, parameters):\n    return work()", space)

    def button() -> tuple[torch.Tensor, str]:
        processing = new(txt2img_upscale=True)
        door.process(processing, [several])
        return sampled(webui, door, processing, [several]), processing.extra_generation_params["IP-Adapter 1"]

    made = []
    for number, colour in enumerate((RED, BLUE)):
        latent, text = space["txt2img_upscale"](button, {"IP-Adapter 1": f"model: m, batch_start: {number}"})
        assert f"batch_start: {number}" in text
        assert torch.equal(latent, alone(webui, door, [UNIT | {"image": encode(colour)}]))
        made.append(latent)
    assert not torch.equal(*made)


def test_each_picture_of_a_job_has_parameters_of_its_own(webui: FakeWebUI, door: Any) -> None:
    from tests.live.client import encode

    several = UNIT | {"image": None, "images": [encode(RED), encode(BLUE)], "combine": "batch"}
    processing = begin(door, [several, UNIT], n_iter=2, batch_size=3)
    written = processing.extra_generation_params
    seeds = [[0, 1, 2], [3, 4, 5]]
    for iteration, own in enumerate(seeds):  # as the WebUI does while it makes them
        vars(processing).update(iteration=iteration, seeds=own)
        for index in range(3):
            text = written["IP-Adapter 1"](p=processing, index=index, all_seeds=own, comments=[])
            assert f"batch_start: {(3 * iteration + index) % 2}" in text
    for item in range(6):  # and when somebody asks afterwards
        text = written["IP-Adapter 1"](p=processing, index=item, all_seeds=[*seeds[0], *seeds[1]])
        assert f"batch_start: {item % 2}" in text
    grid = written["IP-Adapter 1"](p=processing, index=0, all_seeds=seeds[1], use_main_prompt=True)
    assert "batch_start: 0" in grid
    assert isinstance(written["IP-Adapter 2"], str)
