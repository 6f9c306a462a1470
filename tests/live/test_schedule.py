"""Start and end are fractions of what the sampler really does."""

from __future__ import annotations

import pytest

from tests.live.client import HIRES, Client
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Call, Probe

STEPS = 8
SAMPLERS = ["Euler", "Euler a", "Heun", "DPM++ 2M", "DPM++ SDE", "DPM2", "DDIM", "PLMS", "UniPC"]
RANGES = [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0)]


def acting(calls: list[Call]) -> list[int]:
    """Positions of the UNet calls in which the picture acted."""
    return [i for i, call in enumerate(calls) if call.image]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(("start", "end"), RANGES)
def test_the_unit_acts_from_start_to_end(
    sampler: str, start: float, end: float, *, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """One unbroken run of UNet calls, from the fraction `start` of those that were made to the fraction `end`.

    To one call: a sampler of two calls per step makes only one in its last step.
    """
    with probe.recording() as seen:
        client.txt2img([unit(start=start, end=end)], sampler_name=sampler, steps=STEPS)
    acted, made = acting(seen.calls), len(seen.calls)
    assert acted == list(range(acted[0], acted[-1] + 1))
    assert abs(acted[0] - start * made) <= 1
    assert abs(acted[-1] + 1 - end * made) <= 1


def test_two_units_share_out_the_steps_without_gap_or_overlap(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        client.txt2img([unit(end=0.5), unit(start=0.5)], steps=STEPS)
    assert [call.outputs for call in seen.calls] == [16] * STEPS


def test_hires_fix_begins_the_range_again(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        client.txt2img([unit(end=0.5)], steps=4, **{**HIRES, "hr_second_pass_steps": 4})
    assert len(seen.calls) == 8
    assert acting(seen.calls) == [0, 1, 4, 5]


def test_img2img_counts_the_steps_that_it_makes(
    client: Client, probe: Probe, unit: MakeUnit, reference: object
) -> None:
    """Half of the strength makes half of the steps; the range is of those."""
    with probe.recording() as seen:
        client.img2img(reference, [unit(start=0.5)], steps=STEPS, denoising_strength=0.5)
    acted, made = acting(seen.calls), len(seen.calls)
    assert made < STEPS
    assert abs(acted[0] - made / 2) < 1
