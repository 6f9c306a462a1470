"""Another extension reads and sets the units of a job by `lib_ipadapter.external`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.live.client import Answer, Client
from tests.live.pictures import MakeUnit


def with_neighbour(client: Client, scale: float, *units: Any) -> Answer:
    return client.txt2img(units, alwayson_scripts={"IP-Adapter neighbour": {"args": [scale]}})


@pytest.mark.parametrize("scale", [0.25, 1.5])
def test_what_it_sets_is_what_a_request_would_have_set(client: Client, unit: MakeUnit, scale: float) -> None:
    by_neighbour, by_request = with_neighbour(client, scale, unit(scale=1.0)), client.txt2img([unit(scale=scale)])
    assert np.array_equal(by_neighbour.picture, by_request.picture)
    assert by_neighbour.infotext == by_request.infotext
    assert not np.array_equal(by_request.picture, client.txt2img([unit(scale=1.0)]).picture)


def test_what_it_switches_off_is_off_and_the_next_job_is_as_it_was(client: Client, unit: MakeUnit) -> None:
    before = client.txt2img([unit()]).picture
    off = with_neighbour(client, 0.0, unit())
    assert np.array_equal(off.picture, client.txt2img().picture)
    assert "IP-Adapter" not in off.infotext
    assert np.array_equal(with_neighbour(client, -1.0, unit()).picture, before)
