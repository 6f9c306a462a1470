"""The hooks sit on the UNet that is live, whichever way it came, and nothing keeps the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.live import models
from tests.live.client import HIRES, Client, Refused, difference
from tests.live.host import WebUI
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

STEPS = 4
HALFWAY = {"refiner_switch_at": 0.5}


@pytest.fixture(autouse=True)
def _usual_checkpoint(client: Client) -> Iterator[None]:
    """Whatever a test has loaded, the others find the usual checkpoint."""
    yield
    client.txt2img(**on(models.TINY))


def on(checkpoint: str) -> dict[str, Any]:
    return {"override_settings": {"sd_model_checkpoint": checkpoint}, "steps": STEPS}


def effect(client: Client, unit: MakeUnit, **request: Any) -> int:
    """How far a unit moves the picture, of 255."""
    return difference(client.txt2img([unit()], **request).picture, client.txt2img(**request).picture)


@pytest.mark.parametrize("checkpoint", [models.TWIN, models.SIBLING])
def test_a_switch_by_the_request_takes_the_adapter_along(
    checkpoint: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """Into the same model (same config file), and into a new one."""
    client.txt2img([unit()], **on(models.TINY))
    with probe.recording() as seen:
        made = client.txt2img([unit()], **on(checkpoint))
    seen.check_roles()
    assert probe.hooks() == []
    assert difference(made.picture, client.txt2img(**on(checkpoint)).picture) > 0


def test_a_switch_by_the_settings_takes_the_adapter_along(client: Client, probe: Probe, unit: MakeUnit) -> None:
    client.txt2img([unit()])
    with client.settings(sd_model_checkpoint=models.SIBLING), probe.recording() as seen:
        client.txt2img([unit()])
    seen.check_roles()


def test_back_on_the_first_checkpoint_the_picture_is_the_first(client: Client, unit: MakeUnit) -> None:
    first = client.txt2img([unit()], **on(models.TINY)).picture
    client.txt2img([unit()], **on(models.SIBLING))
    assert np.array_equal(client.txt2img([unit()], **on(models.TINY)).picture, first)


def test_nothing_keeps_the_old_unet(client: Client, probe: Probe, unit: MakeUnit) -> None:
    client.txt2img([unit()], **on(models.TINY))
    probe.remember_unet()
    client.txt2img([unit()], **on(models.SIBLING))
    assert probe.old_unet_alive() is False


def test_nothing_keeps_the_old_unet_after_an_exception(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording({"step": 1, "what": "raise"}), pytest.raises(Refused):
        client.txt2img([unit()], **on(models.TINY))
    probe.remember_unet()
    client.txt2img(**on(models.SIBLING))
    assert probe.old_unet_alive() is False


@pytest.mark.parametrize("refiner", [models.TWIN, models.SIBLING])
def test_a_refiner_of_the_same_structure_gets_the_adapter(
    refiner: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """The switch happens inside the sampling, in place or with a new UNet."""
    with probe.recording() as seen:
        client.txt2img([unit()], **on(models.TINY), **HALFWAY, refiner_checkpoint=refiner)
    seen.check_roles()
    assert probe.hooks() == []


def test_a_refiner_that_does_not_fit_rests_the_adapter_with_a_notice(
    webui: WebUI, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    so_far = len(webui.log)
    with probe.recording() as seen:
        client.txt2img([unit()], **on(models.TINY), **HALFWAY, refiner_checkpoint=models.OTHER)
    acted = [bool(call.image) for call in seen.calls]
    assert acted[0]
    assert not acted[-1]
    assert acted == sorted(acted, reverse=True)
    assert webui.log[so_far:].count("IP-Adapter rests") == 1
    assert probe.hooks() == []


def test_after_a_refiner_the_next_batch_has_the_adapter_again(client: Client, probe: Probe, unit: MakeUnit) -> None:
    """The WebUI swaps back to the first checkpoint; both batches act in the same steps."""
    with probe.recording() as seen:
        client.txt2img([unit()], **on(models.TINY), **HALFWAY, refiner_checkpoint=models.OTHER, n_iter=2)
    half = len(seen.calls) // 2
    assert [bool(c.image) for c in seen.calls[:half]] == [bool(c.image) for c in seen.calls[half:]]
    assert seen.calls[half].image


def test_a_refiner_leaves_no_old_unet(client: Client, probe: Probe, unit: MakeUnit) -> None:
    client.txt2img(**on(models.TINY))
    probe.remember_unet()
    client.txt2img([unit()], **on(models.TINY), **HALFWAY, refiner_checkpoint=models.OTHER)
    assert probe.old_unet_alive() is False


def test_the_second_pass_may_have_its_own_checkpoint(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        client.txt2img([unit()], **on(models.TINY), **HIRES, hr_checkpoint_name=models.SIBLING)
    seen.check_roles()
