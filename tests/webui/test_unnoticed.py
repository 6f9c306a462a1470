"""What a unit says to no effect is told, with a stand-in for the WebUI."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from tests.webui.fake_host import FakeProcessing, FakeWebUI
from tests.webui.jobs import JOB, RED, UNIT, begin, new, sampled


def test_a_hires_unit_without_hires_fix_does_not_rest_unnoticed(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT, UNIT | {"passes": "hires"}]
    job = begin(door, units)
    assert job.comments == ["IP-Adapter: unit 2 is for the hires pass only, and this job has none."]
    assert job.extra_generation_params["IP-Adapter notice"] == job.comments[0], "the API's answer has no comments"
    assert begin(door, units, enable_hr=True).comments == []
    assert begin(door, [UNIT | {"passes": "hires", "enabled": False}]).comments == []


def test_a_detailers_unit_without_a_detailer_does_not_rest_unnoticed(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT, UNIT | {"detailer": "only"}]

    def comments(work: Callable[[FakeProcessing], Any], units: list[Any]) -> str:
        """All that a job says; every file of a batch begins one with the same processing object."""

        def job(processing: FakeProcessing) -> str:
            door.process(processing, units)
            sampled(webui, door, processing, units)
            work(processing)
            processed = SimpleNamespace(comments="", images=[RED])
            door.end(processing, processed, units)
            return processed.comments

        return JOB(job, processing)

    def detailer(_: FakeProcessing) -> None:
        def inner(processing: FakeProcessing) -> str:
            sampled(webui, door, processing, units)
            processed = SimpleNamespace(comments="", images=[RED])
            door.end(processing, processed, units)
            return processed.comments

        assert JOB(inner, new()) == ""

    processing = new()
    for _ in range(2):
        assert comments(detailer, units) == ""
        assert comments(lambda _: None, units).startswith("IP-Adapter: unit 2 is for detailer passes only")
        assert "unit 2 is for detailer passes only" in processing.extra_generation_params["IP-Adapter notice"]
        assert processing.comments[-1].startswith("IP-Adapter: unit 2 is for detailer"), "for Loopback"
    assert comments(lambda _: None, [UNIT, UNIT | {"detailer": "only", "enabled": False}]) == ""


NEVER = [{"start": 0.5, "end": 0.5}, {"curve": "0:0"}, {"layers": "4:0"}, {"grid": "0 0"}]


@pytest.mark.parametrize("values", NEVER, ids=lambda values: next(iter(values)))
def test_a_unit_that_can_act_nowhere_does_not_rest_unnoticed(values: Any, webui: FakeWebUI, door: Any) -> None:
    (said,) = begin(door, [UNIT, UNIT | values]).comments
    assert said.startswith("IP-Adapter: unit 2 acts at no step and in no layer")
    assert begin(door, [UNIT | values | {"enabled": False}, UNIT | {"scale": 0}]).comments == []


def test_pictures_that_another_script_sampled_by_itself_do_not_claim_the_adapter_unnoticed(
    webui: FakeWebUI, door: Any
) -> None:
    def ended(units: list[Any], sampling: bool, pictures: int = 1) -> str:
        def job(processing: FakeProcessing) -> str:
            door.process(processing, units)
            if sampling:
                sampled(webui, door, processing, units)
            copied = SimpleNamespace(comments="", images=[RED])
            door.end(copy.copy(processing), copied, units)  # as ADetailer does after each batch
            assert copied.comments == ""
            processed = SimpleNamespace(comments="", images=[RED] * pictures)
            door.end(processing, processed, units)
            return processed.comments

        return JOB(job, new())

    assert ended([UNIT], sampling=True) == ""
    assert ended([UNIT], sampling=False).startswith("IP-Adapter: no unit acted")
    assert ended([UNIT], sampling=False, pictures=0) == "", "it was interrupted"
    assert ended([UNIT | {"enabled": False}], sampling=False) == ""
    assert ended([UNIT | {"detailer": "only"}], sampling=False).startswith("IP-Adapter: unit 1 is for detailer")


def test_what_is_set_to_no_effect_is_said_once_for_all_passes_and_in_the_parameters(
    webui: FakeWebUI, door: Any
) -> None:
    units = [UNIT | {"composition_scale": 0.5}, UNIT | {"weight_type": "ease in", "layers": "4:1"}]
    processing = begin(door, units)
    for _ in range(2):
        sampled(webui, door, processing, units)
    assert len(processing.comments) == 2
    said = processing.extra_generation_params["IP-Adapter notice"]
    assert [said.count(name) for name in ("composition_scale", "weight_type", ";", ".")] == [1, 1, 0, 2]
    assert set(processing.extra_generation_params) == {"IP-Adapter 1", "IP-Adapter 2", "IP-Adapter notice"}
    door.process(processing, [UNIT])
    assert set(processing.extra_generation_params) == {"IP-Adapter 1"}


def test_a_picture_beside_another_reference_does_not_stay_unused_unnoticed(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"reference": "input"}]
    processing = begin(door, units, init_images=[Image.new("RGB", (8, 8))])
    sampled(webui, door, processing, units)
    (said,) = processing.comments
    assert "image of the unit with ip-adapter_sd15 is not used: reference is 'input'" in said
