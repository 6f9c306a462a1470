"""The same request makes the same picture, to the last bit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tests.live import models
from tests.live.client import Client
from tests.live.conftest import ROOT
from tests.live.host import Installed, Setup, running
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe


def test_two_runs_are_equal(client: Client, unit: MakeUnit) -> None:
    one, other = client.txt2img([unit()]), client.txt2img([unit()])
    assert np.array_equal(one.picture, other.picture)
    assert one.infotext == other.infotext


def test_a_full_cache_and_an_empty_one_make_the_same_picture(client: Client, probe: Probe, unit: MakeUnit) -> None:
    units = [unit(), unit(model=models.PLUS)]
    warm = client.txt2img(units).picture
    probe.forget()
    assert np.array_equal(client.txt2img(units).picture, warm)


def test_base_and_plus_by_turns_are_right_each_time(client: Client, probe: Probe, unit: MakeUnit) -> None:
    """What was computed for one adapter is never taken for the other."""
    base, plus = (client.txt2img([unit(model=name)]).picture for name in (models.BASE, models.PLUS))
    assert not np.array_equal(base, plus)
    probe.forget()
    for expected, name in ((plus, models.PLUS), (base, models.BASE), (plus, models.PLUS)):
        assert np.array_equal(client.txt2img([unit(model=name)]).picture, expected)


def test_another_process_without_page_makes_the_same_pictures(
    installed: Installed, make_setup: Callable[..., Setup], client: Client, unit: MakeUnit
) -> None:
    """After a restart, and with ``--nowebui``."""
    setup = make_setup("restarted", {"ip-adapter": ROOT}, arguments=["--nowebui"])
    with running(installed, setup) as webui:
        restarted = Client(webui.url)
        for units in (None, [unit()], [unit(model=models.PLUS, scale=1.0)]):
            assert np.array_equal(client.txt2img(units).picture, restarted.txt2img(units).picture)
        assert "ip-adapter" in str(restarted.get("/sdapi/v1/script-info")).lower()


def test_two_clients_at_once_each_get_their_own_picture(client: Client, probe: Probe, unit: MakeUnit) -> None:
    """The WebUI makes one picture after the other; what is asked meanwhile must not get into it."""
    asked = [
        lambda: client.txt2img([unit(scale=0.9)], steps=6),
        lambda: client.txt2img([unit(model=models.PLUS, end=0.5), unit(weight_type="style transfer")], steps=6),
        lambda: client.txt2img(steps=6),
        lambda: client.txt2img([unit(scale=0.3, start=0.4)], steps=6),
    ]
    alone = [ask() for ask in asked]
    with ThreadPoolExecutor(len(asked)) as pool:
        rounds = [list(pool.map(lambda ask: ask(), asked)) for _ in range(3)]
    for answers in rounds:
        assert [answer.infotext for answer in answers] == [answer.infotext for answer in alone]
        assert all(np.array_equal(a.picture, b.picture) for a, b in zip(answers, alone, strict=True))
    assert probe.hooks() == []
