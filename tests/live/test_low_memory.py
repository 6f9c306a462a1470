"""With ``--lowvram`` weights come and go block by block, and the picture stays the same; behind ``--api-auth``."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest

from tests.live import models
from tests.live.client import Client, Refused, difference
from tests.live.conftest import ROOT
from tests.live.host import Installed, Setup, running
from tests.live.pictures import MakeUnit

KEY = {"Authorization": "Basic " + base64.b64encode(b"me:secret").decode()}


@pytest.fixture(scope="module")
def low(installed: Installed, make_setup: Callable[..., Setup]) -> Iterator[Client]:
    arguments = ["--lowvram", "--api-auth", "me:secret"]
    setup = make_setup("low-memory", {"sd-webui-ip-adapter": ROOT}, arguments=arguments)
    with running(installed, setup) as webui:
        yield Client(webui.url, KEY)


@pytest.mark.parametrize("model", [models.BASE, models.PLUS])
def test_the_picture_is_that_of_a_webui_with_room(model: str, low: Client, client: Client, unit: MakeUnit) -> None:
    plain = client.txt2img()
    roomy, narrow = client.txt2img([unit(model=model)]), low.txt2img([unit(model=model)])
    assert difference(narrow.picture, roomy.picture) <= 1
    assert difference(roomy.picture, plain.picture) > 1
    assert difference(low.txt2img().picture, plain.picture) <= 1


@pytest.mark.parametrize("route", ["models", "encoders", "unload"])
def test_nobody_gets_in_without_the_password(route: str, low: Client) -> None:
    stranger = Client(low.url)
    with pytest.raises(Refused) as refused:
        stranger.post("/ip-adapter/unload") if route == "unload" else stranger.get(f"/ip-adapter/{route}")
    assert refused.value.status == 401


def test_the_lists_name_what_is_there_and_unloading_frees_it(low: Client, unit: MakeUnit) -> None:
    first = low.txt2img([unit()])
    fits = {model["name"]: model["fits"] for model in low.get("/ip-adapter/models")}
    assert (fits[models.BASE], fits[models.WRONG_FAMILY]) == (True, False)
    assert "vit-h" in [encoder["name"] for encoder in low.get("/ip-adapter/encoders")]
    assert low.post("/ip-adapter/unload")["freed"] > 0
    assert low.post("/ip-adapter/unload")["freed"] == 0
    assert difference(low.txt2img([unit(encoder="vit-h")]).picture, first.picture) == 0
