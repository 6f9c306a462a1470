"""However a run ends, nothing of it is left in the next one."""

from __future__ import annotations

import numpy as np
import pytest

from tests.live.client import HIRES, Client, Refused
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

STEPS = 4


@pytest.mark.parametrize("step", range(STEPS))
@pytest.mark.parametrize("what", ["raise", "interrupt", "skip"])
def test_a_run_that_is_cut_short_leaves_nothing(
    what: str, step: int, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    plain = client.txt2img()
    cut_short(client, probe, unit, what, step)
    assert np.array_equal(client.txt2img().picture, plain.picture)
    assert probe.hooks() == []


@pytest.mark.parametrize("what", ["raise", "interrupt", "skip"])
def test_hooks_go_without_waiting_for_another_run(what: str, client: Client, probe: Probe, unit: MakeUnit) -> None:
    cut_short(client, probe, unit, what, step=1)
    assert probe.hooks() == []


@pytest.mark.parametrize("what", ["raise", "interrupt", "skip"])
def test_the_next_run_with_the_adapter_is_whole(what: str, client: Client, probe: Probe, unit: MakeUnit) -> None:
    whole = client.txt2img([unit()])
    cut_short(client, probe, unit, what, step=1)
    with probe.recording() as seen:
        again = client.txt2img([unit()])
    assert np.array_equal(again.picture, whole.picture)
    seen.check_roles()


def test_an_exception_in_the_second_pass_leaves_nothing(client: Client, probe: Probe, unit: MakeUnit) -> None:
    plain = client.txt2img()
    with probe.recording({"step": 3, "what": "raise"}), pytest.raises(Refused):
        client.txt2img([unit()], steps=2, **{**HIRES, "hr_second_pass_steps": 5})
    assert probe.hooks() == []
    assert np.array_equal(client.txt2img().picture, plain.picture)


def cut_short(client: Client, probe: Probe, unit: MakeUnit, what: str, step: int) -> None:
    """A run with the adapter that ends at `step`."""
    with probe.recording({"step": step, "what": what}):
        if what == "raise":
            with pytest.raises(Refused, match="raised by the probe"):
                client.txt2img([unit()], steps=STEPS)
        else:
            client.txt2img([unit()], steps=STEPS)
