"""The WebUI's page in a browser, in the words of somebody who uses it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import FilePayload, Locator, expect
from playwright.sync_api import Page as Browser

from tests.live.client import Pixels
from tests.live.conftest import HOME

PATIENCE = 30_000
"""Milliseconds for anything that the server computes."""

SCREENSHOTS = HOME / "screenshots"
UNFOLD = """panel => panel.querySelectorAll('[id*="_unit_1_"] .label-wrap, [id$="_get"] .label-wrap').forEach(
    label => label.classList.contains("open") || label.click())"""

DESKTOP, PHONE = {"width": 1400, "height": 1000}, {"width": 390, "height": 844}


@dataclass(frozen=True)
class Page:
    """One of the tabs txt2img and img2img."""

    browser: Browser
    tab: str = "txt2img"

    def open(self, url: str) -> Page:
        """The page at `url`, with this tab in front and the panel unfolded."""
        self.browser.goto(url)
        expect(self.at("txt2img_generate")).to_be_visible(timeout=PATIENCE)
        if self.tab == "img2img":
            self.browser.locator("#tabs > .tab-nav").get_by_text("img2img", exact=True).click()
        self.panel.locator(".label-wrap").first.click()
        expect(self.field("model")).to_be_visible()
        return self

    def at(self, elem_id: str) -> Locator:
        return self.browser.locator(f"#{elem_id}")

    @property
    def panel(self) -> Locator:
        """The accordion of the extension."""
        return self.at(f"ip_adapter_{self.tab}")

    def field(self, name: str, unit: int = 1) -> Locator:
        return self.at(f"ip_adapter_{self.tab}_unit_{unit}_{name}")

    def enable(self, unit: int = 1) -> None:
        self.field("enabled", unit).locator("input").check()

    def upload(self, picture: Image.Image, unit: int = 1) -> None:
        """The reference picture."""
        send(self.field("image", unit), picture)
        expect(self.field("view", unit)).to_be_visible(timeout=PATIENCE)

    def unfold(self) -> None:
        """Every topic of the first unit."""
        self.panel.evaluate(UNFOLD)

    def add_pictures(self, further: Sequence[Image.Image], unit: int = 1) -> None:
        """Below *Several pictures*, which is open."""
        files = [file_of(picture, f"picture {number}.png") for number, picture in enumerate(further)]
        self.field("images", unit).locator("input[type=file]").set_input_files(files)
        expect(self.thumbnails.locator("img")).to_have_count(len(files), timeout=PATIENCE)

    @property
    def thumbnails(self) -> Locator:
        """Of the further pictures."""
        return self.panel.locator(".ip-adapter-further [role=listitem]")

    def wait_for_model(self, label: str, unit: int = 1) -> None:
        """Until the list of models has an entry that begins so: the server may be waiting for the checkpoint."""
        if unit > 1:
            self.panel.locator(".tab-nav button").nth(unit - 1).click()
        entry = self._opened("model", unit).and_(self.browser.locator(f'[aria-label^="{label}"]'))
        expect(entry.first).to_be_visible(timeout=PATIENCE)

    def offered(self, name: str) -> list[str]:
        """What a list, of models or of encoders, offers."""
        options = self._opened(name)
        options.first.wait_for()
        return [option.get_attribute("aria-label") or "" for option in options.all()]

    def choose_model(self, label: str) -> None:
        """The first whose label begins so."""
        self.choose("model", label)

    def choose(self, name: str, label: str) -> None:
        """The first entry of a list whose label begins so."""
        self._opened(name).and_(self.browser.locator(f'[aria-label^="{label}"]')).first.click()

    def _opened(self, name: str, unit: int = 1) -> Locator:
        field = self.field(name, unit).locator("input")
        field.blur()
        field.click()
        return self.field(name, unit).locator("ul.options li")

    def value(self, name: str, unit: int = 1) -> str:
        """What a number or the list of models shows."""
        return self.field(name, unit).locator("input").first.input_value()

    def enabled(self, unit: int = 1) -> bool:
        return self.field("enabled", unit).locator("input").is_checked()

    def paste(self, infotext: str) -> None:
        """Into the prompt, and then the arrow below the Generate button."""
        self.at(f"{self.tab}_prompt").locator("textarea").fill(infotext)
        self.at(f"{self.tab}_tools").locator("#paste").click()
        prompt = infotext.split("\n", maxsplit=1)[0]
        expect(self.at(f"{self.tab}_prompt").locator("textarea")).to_have_value(prompt, timeout=PATIENCE)
        self.browser.wait_for_timeout(500)

    def stroke(self, canvas: Locator) -> None:
        """Across the middle of it."""
        box = canvas.bounding_box()
        assert box
        x, y = box["x"] + box["width"] / 4, box["y"] + box["height"] / 2
        self.browser.mouse.move(x, y)
        self.browser.mouse.down()
        self.browser.mouse.move(x + box["width"] / 2, y + 10, steps=8)
        self.browser.mouse.up()

    def generate(self) -> None:
        """Presses the button and waits until the job has ended."""
        self.at(f"{self.tab}_generate").click()
        interrupt = self.at(f"{self.tab}_interrupt")
        expect(self.log.locator(".performance, .error").first).to_be_visible(timeout=PATIENCE)
        expect(interrupt).to_be_hidden(timeout=PATIENCE)

    def picture(self) -> Pixels:
        """The picture in the gallery."""
        return np.asarray(self._file().convert("RGB"))

    def parameters(self) -> str:
        """Those in its file."""
        return self._file().info["parameters"]

    def _file(self) -> Image.Image:
        shown = self.at(f"{self.tab}_gallery").locator("img").first
        expect(shown).to_be_visible(timeout=PATIENCE)
        return Image.open(io.BytesIO(self.browser.request.get(shown.get_attribute("src") or "").body()))

    @property
    def note(self) -> Locator:
        """The line below the reference picture."""
        return self.field("note").locator(".prose")

    @property
    def log(self) -> Locator:
        """The line below the gallery."""
        return self.at(f"{self.tab}_results").locator(".prose.html-log")

    @property
    def badge(self) -> Locator:
        """What the accordion's label says of active units."""
        return self.panel.locator(".ip-adapter-badge")

    def shoot(self, path: Path) -> None:
        """A picture of the panel and what is around it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.panel.scroll_into_view_if_needed()
        self.browser.screenshot(path=path, full_page=True)


def send(image: Locator, picture: Image.Image) -> None:
    """A picture into an upload field."""
    image.locator("input[type=file]").first.set_input_files([file_of(picture, "picture.png")])
    expect(image.locator("img").first).to_be_visible(timeout=PATIENCE)


def file_of(picture: Image.Image, name: str) -> FilePayload:
    """As a browser's file dialog would give it."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return {"name": name, "mimeType": "image/png", "buffer": file.getvalue()}


OpenPage = Callable[..., Page]
