"""A browser, the page on which the panel's scripts are tried, and what stands in for the WebUI."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.library import LIBRARY
from tests.browser import opened_browser
from tests.models import save_adapter, tiny_adapter, tiny_encoder
from tests.webui.fake_host import FakeWebUI
from tests.webui.scripts_page import page_text


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    failures: list[str] = []
    page = browser.new_page(viewport={"width": 600, "height": 900})
    page.set_default_timeout(20_000)
    page.on("pageerror", lambda error: failures.append(str(error)))
    page.set_content(page_text())
    page.locator("#txt2img_send_to_ip_adapter").wait_for()
    yield page
    page.close()
    assert failures == []


@pytest.fixture
def controls() -> list[Any]:
    from tests.webui.panels import built

    return built()


@pytest.fixture
def webui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWebUI:
    save_adapter(tiny_adapter(Kind.BASE), tmp_path / "models/ip-adapter/ip-adapter_sd15.safetensors")
    tiny_encoder().save_pretrained(tmp_path / "models/clip_vision/tiny")
    webui = FakeWebUI(tmp_path)
    webui.install(monkeypatch)
    LIBRARY.unload()
    return webui


@pytest.fixture
def door(webui: FakeWebUI) -> Any:
    from lib_ipadapter.webui.door import Door

    return Door()
