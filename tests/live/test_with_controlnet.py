"""Beside ControlNet's units, in both orders of the scripts, both effects are there, and afterwards neither."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from tests.live import controlnet, models
from tests.live.client import Client, Json, Pixels, difference
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

UNITS: dict[str, Callable[[Client, Image.Image], Json]] = {
    "T2I-Adapter": controlnet.t2i_adapter,
    "reference_only": lambda _, picture: controlnet.reference_only(picture),
    "its IP-Adapter": lambda client, picture: controlnet.ip_adapter(
        client, picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), models.BASE, 0.5
    ),
}

VISIBLE = 5
"""Of 255; what an effect must at least move."""


def almost_equal(one: Pixels, other: Pixels) -> bool:
    """A past run of ControlNet's IP-Adapter leaves another attention body behind, which rounds differently."""
    changed = np.mean(one != other)
    return difference(one, other) <= 1 and changed < 0.01


@pytest.mark.parametrize("name", UNITS)
def test_both_effects_are_there_and_afterwards_neither(
    name: str, *, both_orders: Client, unit: MakeUnit, reference: Image.Image, measured: Callable[..., None]
) -> None:
    client = both_orders
    theirs = controlnet.script(UNITS[name](client, reference))
    plain, ours = client.txt2img().picture, client.txt2img([unit()]).picture
    alone, together = client.txt2img(**theirs).picture, client.txt2img([unit()], **theirs).picture
    after = client.txt2img().picture

    moved = {
        "ours": difference(together, alone),
        "theirs": difference(together, ours),
        "left": difference(after, plain),
    }
    measured(f"with {name}: largest difference", moved)
    assert min(moved["ours"], moved["theirs"], difference(ours, plain), difference(alone, plain)) > VISIBLE
    assert almost_equal(after, plain)
    assert almost_equal(client.txt2img([unit()]).picture, ours)
    assert Probe(client).hooks() == []


@pytest.mark.parametrize("name", UNITS)
def test_rows_have_their_role_beside_controlnet(
    name: str, both_orders: Client, unit: MakeUnit, reference: Image.Image
) -> None:
    """ControlNet marks the text with one more token and takes it off inside the UNet."""
    probe = Probe(both_orders)
    theirs = controlnet.script(UNITS[name](both_orders, reference))
    with probe.recording() as seen:
        both_orders.txt2img([unit()], negative_prompt="a dog " * 80, batch_size=2, **theirs)
    assert set(seen.rows) == {"cc", "uu"}
    seen.check_roles()


def test_an_exception_beside_controlnet_leaves_nothing_of_ours(
    both_orders: Client, unit: MakeUnit, reference: Image.Image
) -> None:
    plain = both_orders.txt2img().picture
    theirs = controlnet.script(controlnet.t2i_adapter(both_orders, reference))
    probe = Probe(both_orders)
    with probe.recording({"step": 1, "what": "raise"}), pytest.raises(Exception, match="raised by the probe"):
        both_orders.txt2img([unit()], **theirs)
    assert almost_equal(both_orders.txt2img().picture, plain)
    assert probe.hooks() == []
