"""Reload UI executes the extension's scripts anew, while the model stays as it is.

These tests have a WebUI of their own, which no browser has visited: gradio 3.41's server, asked to end, waits for
every websocket, and for ever for that of a page that went away in the middle of a job.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from tests.live.client import Client, Pixels, Refused
from tests.live.conftest import PROBE, ROOT
from tests.live.host import READY, Installed, Setup, WebUI, running
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe, Recording
from tests.live.test_axes import axes


@pytest.fixture(scope="module")
def webui(installed: Installed, make_setup: Callable[..., Setup]) -> Iterator[WebUI]:
    """In place of the one that all files share."""
    with running(installed, make_setup("reloaded", {"sd-webui-ip-adapter": ROOT, "zz-probe": PROBE})) as webui:
        yield webui


def test_reload_ui_leaves_one_extension_that_works(webui: WebUI, client: Client, probe: Probe, unit: MakeUnit) -> None:
    """Its hooks are gone, its callbacks are there once, and pictures are the same."""
    before = pictures_of(client, unit)
    reload(webui, probe)
    assert probe.hooks() == []
    with probe.recording() as seen:
        after = pictures_of(client, unit)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    Recording([call for call in seen.calls if call.image]).check_roles()


def test_reload_ui_leaves_each_axis_of_the_xyz_plot_there_once(webui: WebUI, client: Client, probe: Probe) -> None:
    before = axes(client)
    reload(webui, probe)
    assert axes(client) == before
    assert sum(label == "[IP-Adapter] Unit 1 Scale" for label in before) == 1


def test_reload_ui_removes_what_a_broken_run_left(webui: WebUI, client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording({"step": 1, "what": "raise"}), pytest.raises(Refused):
        client.txt2img([unit()])
    reload(webui, probe)
    assert probe.hooks() == []


def pictures_of(client: Client, unit: MakeUnit) -> list[Pixels]:
    return [client.txt2img(units).picture for units in (None, [unit()])]


def reload(webui: WebUI, probe: Probe) -> None:
    times = webui.log.count(READY)
    probe.reload_ui()
    webui.wait_until_ready(times + 1)
