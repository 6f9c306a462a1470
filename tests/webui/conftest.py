"""A browser, and the page on which the panel's scripts are tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import opened_browser
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
