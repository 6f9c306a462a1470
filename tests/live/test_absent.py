"""Where the extension has nothing to do, the WebUI is as one that has never heard of it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.live import pictures
from tests.live.client import HIRES, Answer, Client, Json
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

REQUESTS: dict[str, Json] = {
    "plain": {},
    "batch of 2": {"batch_size": 2},
    "AND, long negative prompt": {"prompt": "a cat AND a house :0.5", "negative_prompt": "a dog " * 80},
    "hires fix": HIRES,
    "DPM++ SDE": {"sampler_name": "DPM++ SDE"},
}

IDLE: dict[str, Json | None] = {
    "not in the request": None,
    "disabled": {"enabled": False},
    "scale 0": {"scale": 0},
    "empty range of steps": {"start": 0.5, "end": 0.5},
    "end before start": {"start": 0.7, "end": 0.2},
}


def same(one: Answer, other: Answer) -> bool:
    """Pictures and parameters, to the last bit."""
    return one.infotext == other.infotext and all(
        np.array_equal(a, b) for a, b in zip(one.pictures, other.pictures, strict=True)
    )


@pytest.mark.parametrize("idle", IDLE)
@pytest.mark.parametrize("request_name", REQUESTS)
def test_a_unit_that_cannot_act_changes_nothing(
    idle: str, request_name: str, *, client: Client, bare: Client, probe: Probe, unit: MakeUnit
) -> None:
    """Bit-equal to a WebUI without the extension, nothing on its modules, and the encoder never loaded."""
    changes, request = IDLE[idle], REQUESTS[request_name]
    probe.forget()
    made = client.txt2img(None if changes is None else [unit(**changes)], **request)
    assert same(made, bare.txt2img(**request))
    after = probe.state()
    assert (after["hooks"], after["callbacks"], after["encoders"], after["adapters"]) == ([], 0, 0, 0)


def test_img2img_without_units_is_as_without_the_extension(client: Client, bare: Client) -> None:
    source = pictures.reference(64, 64)
    client.settle()
    bare.settle()
    assert same(client.img2img(source), bare.img2img(source))


def test_after_a_run_everything_is_as_before(client: Client, bare: Client, probe: Probe, unit: MakeUnit) -> None:
    """No hook, no attribute on any module, no callback, and bit-equal pictures."""
    client.txt2img()
    before = probe.state()
    made = client.txt2img([unit()])
    after = probe.state()
    plain = bare.txt2img()
    assert not np.array_equal(made.picture, plain.picture)
    assert after["hooks"] == []
    assert after["attributes"] == before["attributes"]
    assert after["callbacks"] == 0
    assert same(client.txt2img(), plain)


def test_a_hundred_runs_leave_no_hook_and_cost_no_speed(client: Client, probe: Probe, unit: MakeUnit) -> None:
    """The fastest of ten plain runs afterwards takes no more processor time than before, but for noise."""

    def fastest() -> float:
        return min(seconds_per_call(client, probe) for _ in range(10))

    before = fastest()
    for _ in range(100):
        client.txt2img([unit()], steps=1)
    assert probe.hooks() == []
    assert fastest() < 1.5 * before


def seconds_per_call(client: Client, probe: Probe) -> float:
    with probe.recording() as seen:
        client.txt2img(steps=5)
    return (seen.calls[-1].seconds - seen.calls[0].seconds) / (len(seen.calls) - 1)
