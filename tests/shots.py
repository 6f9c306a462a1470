"""``python -m tests.shots``: the documentation's pictures of `pocket.page`, at a desktop's and at a phone's width."""

from __future__ import annotations

from io import BytesIO
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
PATIENCE = 240_000
"""Milliseconds."""

TOLD = {"weights": "1 0.5 0.75 0.25", "curve": "0:1, 0.4:0.9, 0.7:0.3, 1:0", "grid": "1 0.5; 0.75 0.25; 0 1"}
"""What is written into fields that are folded away."""

UNFOLDED = (("images", "crop", "passes"), ("weight_type",))
"""First fields of topics, by column."""

GAP, BACKGROUND = 24, "#0f0f11"
"""Pixels between two topics, and their colour: that of the page."""


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


def topics(shown: Any, folder: Path) -> Image.Image:
    """Some of the folded topics, unfolded, in two columns."""
    unit = f"{PANEL}_unit_1"
    columns = [[shown.locator(f"{unit}_{field}_panel") for field in column] for column in UNFOLDED]
    for part in (part for column in columns for part in column):
        part.locator(".label-wrap").click()
    further = [folder / f"{thing.colour}-{thing.shape}.png" for thing in (scene.things[0] for scene in REFERENCES)]
    for scene, path in zip(REFERENCES, further, strict=True):
        draw(scene).resize((384, 384), Image.Resampling.LANCZOS).save(path)
    shown.locator(f"{unit}_images input[type=file]").set_input_files(further)
    shown.locator(".ip-adapter-further img").nth(2).wait_for()
    for field, text in TOLD.items():
        shown.locator(f"{unit}_{field}").locator("textarea, input[type=text]").first.fill(text)
    shown.wait_for_timeout(1000)
    parts = [[Image.open(BytesIO(part.screenshot())) for part in column] for column in columns]
    size = max(sum(one.height + GAP for one in column) for column in parts) - GAP
    sheet = Image.new("RGB", (sum(column[0].width + GAP for column in parts) - GAP, size), BACKGROUND)
    for number, column in enumerate(parts):
        for row, one in enumerate(column):
            above = sum(other.height + GAP for other in column[:row])
            sheet.paste(one, (number * (column[0].width + GAP), above))
    return sheet


def main() -> None:
    with TemporaryDirectory() as folder, opened_browser() as browser:
        blocks = page.build(Studio(Path(folder)))
        url = page.launch(blocks, prevent_thread_lock=True, quiet=True)
        reference = Path(folder, "reference.png")
        draw(REFERENCES[0]).resize((384, 384), Image.Resampling.LANCZOS).save(reference)
        desktop = ready(browser, url, "dark", DESKTOP, reference)
        desktop.screenshot(path=DOCS / "page.png", full_page=True)
        topics(desktop, Path(folder)).save(DOCS / "panel-topics.png", optimize=True)
        light = ready(browser, url, "light", DESKTOP, reference)
        light.locator(PANEL).screenshot(path=DOCS / "panel-light.png")
        phone = ready(browser, url, "dark", PHONE, reference)
        phone.locator(PANEL).screenshot(path=DOCS / "panel-phone.png")
        blocks.close(verbose=False)


if __name__ == "__main__":
    main()
