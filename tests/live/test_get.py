"""Getting a model in the real WebUI's page, from a server on this machine instead of the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from safetensors.torch import save

from tests.hub import Hub, serving
from tests.live import models
from tests.live.conftest import HOME, ROOT
from tests.live.host import Installed, Setup, WebUI, running

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
from tests.live.page import DESKTOP, PATIENCE, SCREENSHOTS, Page, expect

NAME = "ip_plus_composition_sd15"
"""Of which no hash is published, so that a small content does."""

FOLDER = HOME / "got"


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    """With an adapter that takes the client three pieces of 10 MB."""
    padding = {"padding": torch.zeros(6 << 20)}
    with serving() as hub:
        hub.files[f"ostris/ip-composition-adapter/{NAME}.safetensors"] = save(models.plus_adapter() | padding)
        yield hub


@pytest.fixture(scope="module")
def webui(installed: Installed, make_setup: Callable[..., Setup], hub: Hub) -> Iterator[WebUI]:
    environment = {"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
    setup = make_setup(
        "get", {"sd-webui-ip-adapter": ROOT}, environment=environment, arguments=["--ip-adapter-dir", str(FOLDER)]
    )
    with running(installed, setup) as webui:
        yield webui


@pytest.fixture(params=["txt2img", "img2img"])
def page(request: pytest.FixtureRequest, browser: Any, webui: WebUI, hub: Hub) -> Iterator[Page]:
    hub.asked.clear()
    for path in FOLDER.glob("*"):
        path.unlink()
    context = browser.new_context(viewport=DESKTOP)
    context.set_default_timeout(PATIENCE)
    context.route(lambda url: not url.startswith((webui.url, "data:", "blob:")), lambda route: route.abort())
    page = Page(context.new_page(), request.param).open(f"{webui.url}/?__theme=dark")
    page.at(f"ip_adapter_{page.tab}_get").locator(".label-wrap").click()
    choose(page, f"{NAME}.safetensors")
    yield page
    context.close()


def choose(page: Page, name: str) -> None:
    part(page, "file").locator("input").click()
    part(page, "file").locator(f'ul.options li[aria-label="{name}"]').click()
    expect(said(page, "facts")).to_contain_text("ostris/ip-composition-adapter", timeout=PATIENCE)


def part(page: Page, name: str) -> Any:
    return page.at(f"ip_adapter_{page.tab}_get_{name}")


def said(page: Page, name: str) -> Any:
    """What stands there: gradio 3 gives the name to the text and to the frame around it."""
    return part(page, name).locator(".prose")


def test_a_click_gets_a_model_shows_how_far_it_is_and_puts_it_into_the_list(page: Page, hub: Hub) -> None:
    assert NAME not in page.offered("model")
    assert hub.asked == []
    hub.gate.clear()
    part(page, "start").click()
    expect(said(page, "status")).to_contain_text("10 MB of 30 MB (35%)", timeout=PATIENCE)
    page.shoot(SCREENSHOTS / "getting.png")
    hub.gate.set()
    expect(said(page, "status")).to_contain_text(f"{NAME}.safetensors is in {FOLDER.name};", timeout=PATIENCE)
    page.browser.wait_for_timeout(1000)
    assert NAME in page.offered("model")
    assert sorted(path.name for path in FOLDER.iterdir()) == [f"{NAME}.safetensors"]


def test_cancel_leaves_no_model_and_the_next_click_goes_on(page: Page, hub: Hub) -> None:
    hub.gate.clear()
    part(page, "start").click()
    expect(said(page, "status")).to_contain_text("10 MB of 30 MB (35%)", timeout=PATIENCE)
    part(page, "cancel").click()
    expect(said(page, "status")).to_contain_text("cancelled", timeout=PATIENCE)
    hub.gate.set()
    assert NAME not in page.offered("model")
    page.browser.wait_for_timeout(1000)
    part(page, "start").click()
    expect(said(page, "status")).to_contain_text("is in", timeout=PATIENCE)
    assert hub.downloads[-1].start > 0
