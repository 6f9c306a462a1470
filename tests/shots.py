"""``python -m tests.shots``: the documentation's pictures of `pocket.page`, at a desktop's and at a phone's width."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from lib_ipadapter.model.variant import Kind
from pocket import page, ship
from pocket.demo import REFERENCES, SEED
from pocket.draw import draw
from pocket.studio import Studio
from tests.browser import opened_browser

DOCS = Path(__file__).parents[1] / "docs"
PANEL = "#ip_adapter_txt2img"
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
PATIENCE = 90_000
"""Milliseconds."""


def ready(browser: Any, url: str, theme: str, size: dict[str, int], reference: Path) -> Any:
    """The page with its first unit set, and a picture made by it."""
    shown = browser.new_page(viewport=size, device_scale_factor=1.5)
    shown.set_default_timeout(PATIENCE)
    shown.goto(f"{url}?__theme={theme}")
    shown.locator(f"{PANEL} .label-wrap[aria-expanded]").first.click()
    unit = f"{PANEL}_unit_1"
    shown.locator(f"{unit}_image input[type=file]").first.set_input_files(reference)
    shown.locator(f"{unit}_view img").wait_for()
    shown.locator(f"{unit}_model input").click()
    shown.locator(f"{unit}_model [role=option][aria-label^={ship.adapter_path(Kind.BASE).stem}]").click()
    shown.locator(f"{unit}_enabled input").check()
    shown.locator("#txt2img_seed input").fill(str(SEED))
    shown.locator("#txt2img_generate").click()
    shown.locator("#txt2img_gallery img").first.wait_for()
    shown.wait_for_timeout(1000)
    return shown


def main() -> None:
    with TemporaryDirectory() as folder, opened_browser() as browser:
        blocks = page.build(Studio(Path(folder)))
        url = page.launch(blocks, prevent_thread_lock=True, quiet=True)
        reference = Path(folder, "reference.png")
        draw(REFERENCES[0]).resize((384, 384), Image.Resampling.LANCZOS).save(reference)
        desktop = ready(browser, url, "dark", DESKTOP, reference)
        desktop.screenshot(path=DOCS / "page.png", full_page=True)
        light = ready(browser, url, "light", DESKTOP, reference)
        light.locator(PANEL).screenshot(path=DOCS / "panel-light.png")
        phone = ready(browser, url, "dark", PHONE, reference)
        phone.locator(PANEL).screenshot(path=DOCS / "panel-phone.png")
        blocks.close(verbose=False)


if __name__ == "__main__":
    main()
