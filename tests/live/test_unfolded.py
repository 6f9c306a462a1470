"""The panel with every topic of a unit unfolded: how it looks, what its pictures do, and in which language it is."""

from __future__ import annotations

import pytest
from PIL import Image

from pocket.demo import REFERENCES
from pocket.draw import draw

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
from tests.live.page import DESKTOP, PATIENCE, PHONE, SCREENSHOTS, OpenPage, Page, expect

STICKING_OUT = """panel => [...panel.querySelectorAll("*")].filter(one => {
    const {left, right, width} = one.getBoundingClientRect(), inside = panel.getBoundingClientRect();
    return width > 1 && !one.closest("svg, .tab-nav") && (left < inside.left - 1 || right > inside.right + 1);
}).map(one => one.id || one.className)"""


def unfolded(page: Page) -> Page:
    """With every topic of the first unit open, and something in what is empty else."""
    page.enable()
    page.upload(draw(REFERENCES[0]).resize((384, 384), Image.Resampling.LANCZOS))
    page.unfold()
    page.add_pictures([draw(scene).resize((96, 96)) for scene in REFERENCES])
    page.field("weights").locator("textarea, input").fill("1 0.5 0.25")
    page.field("curve").locator("textarea, input").first.fill("0:1, 0.5:0.3, 1:0")
    page.browser.wait_for_timeout(1000)
    return page


@pytest.mark.parametrize(
    ("theme", "size"), [("dark", DESKTOP), ("light", DESKTOP), ("dark", PHONE)], ids=["dark", "light", "phone"]
)
def test_with_every_topic_unfolded_nothing_sticks_out(theme: str, size: dict[str, int], open_page: OpenPage) -> None:
    """Screenshots are kept to be looked at."""
    page = unfolded(open_page(theme=theme, size=size))
    path = SCREENSHOTS / f"unfolded {theme} {size['width']}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    page.panel.screenshot(path=path)
    assert page.browser.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert page.panel.evaluate(STICKING_OUT) == []


def test_further_pictures_are_moved_and_taken_out_with_their_weights(open_page: OpenPage) -> None:
    page = unfolded(open_page())
    expect(page.note).to_contain_text("and 3 further pictures", timeout=PATIENCE)
    page.thumbnails.nth(1).get_by_label("Move to the right").click()
    expect(page.field("weights").locator("textarea, input")).to_have_value("1 0.5 1 0.25", timeout=PATIENCE)
    page.thumbnails.nth(0).get_by_label("Take out").click()
    expect(page.thumbnails).to_have_count(2, timeout=PATIENCE)
    expect(page.field("weights").locator("textarea, input")).to_have_value("1 1 0.25")
    expect(page.note).to_contain_text("and 2 further pictures", timeout=PATIENCE)


TRANSLATED = """Object.defineProperty(window, "localization", {value: new Proxy({some: "language"}, {
    get: (_, text) => /^(rtl|undefined)$|«/.test(String(text)) ? undefined : `«${String(text)}»`})})"""
"""A language in which every text has a translation."""

UNTRANSLATED = """panel => {
    const found = new Set(), own = one => one && !one.closest("svg, [id$=_get_facts], [data-row], ul.options");
    const texts = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
    for (let node; node = texts.nextNode();) if (own(node.parentElement)) found.add(node.textContent.trim());
    for (const one of panel.querySelectorAll("[title], [placeholder], [aria-label], [aria-description]"))
        if (own(one)) for (const name of ["title", "placeholder", "aria-description"])
            found.add(one.getAttribute(name));
    return [...found].filter(text => /[a-z]{2}/.test(text ?? "") && !text.includes("«"));
}"""


def test_every_text_of_the_panel_can_be_translated(open_page: OpenPage) -> None:
    """Labels, titles, what boxes show where they are empty, and what our scripts add."""
    page = unfolded(open_page(before=TRANSLATED))
    expect(page.badge).to_have_text("1 «active»")
    expect(page.field("scale").locator("label").first).to_contain_text("«Scale»")
    expect(page.thumbnails.first.get_by_label("«Take out»")).to_be_visible()
    expect(page.at("txt2img_send_to_ip_adapter")).to_have_attribute("title", "«Send to IP-Adapter»")
    names = {"picture 0.png", "picture 1.png", "picture 2.png"}
    assert set(page.panel.evaluate(UNTRANSLATED)) - names == set()
