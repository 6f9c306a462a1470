"""The page's scripts in a browser: pictures on their way into the panel, and the panel itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.webui.scripts_page import ABOUT, choose, field, picture, unfold


def taken(page: Any, least: int = 0) -> dict[str, str]:
    """Kinds of the files that fields were given: once there are so many, and what else comes then."""
    page.wait_for_function("least => Object.keys(window.taken).length >= least", arg=least)
    page.wait_for_timeout(300)
    return page.evaluate("window.taken")


IMAGE = "ip_adapter_txt2img_unit_1_image"


def test_the_gallerys_picture_is_sent_to_the_first_unit_and_the_panel_unfolds(page: Any) -> None:
    page.locator("#txt2img_send_to_ip_adapter").click()
    field(page, "image").wait_for()
    assert taken(page, 1) == {IMAGE: "image/png"}


def test_a_picture_is_sent_to_the_unit_whose_tab_is_open(page: Any) -> None:
    page.locator(".unit").first.evaluate("unit => unit.style.display = 'none'")
    page.locator("#txt2img_send_to_ip_adapter").click()
    assert list(taken(page, 1)) == ["ip_adapter_txt2img_unit_2_image"]


def test_without_a_picture_in_the_gallery_the_button_says_so(page: Any) -> None:
    page.locator("#txt2img_gallery img").evaluate("image => image.remove()")
    page.locator("#txt2img_send_to_ip_adapter").click()
    page.get_by_text("There is no picture to send yet.").wait_for()
    assert taken(page) == {}


def test_the_button_stands_once_beside_the_others_and_says_what_it_does(page: Any) -> None:
    page.locator("body").evaluate("body => body.append('changed')")
    page.wait_for_timeout(500)
    button = page.locator("#image_buttons_txt2img button + button")
    assert button.count() == 1
    assert [button.get_attribute(name) for name in ("title", "class")] == ["Send to IP-Adapter", "tool"]


THEMES = ("#f97316", "#6366f1", "#3b82f6", "#10b981", "#ef4444", "#8b5cf6")
"""Gradio's colours that a theme may make its own."""


@pytest.mark.parametrize("colour", THEMES)
def test_the_badge_can_be_read_on_every_theme(colour: str, page: Any) -> None:
    page.evaluate("colour => document.body.style.setProperty('--primary-500', colour)", colour)
    unfold(page)
    field(page, "enabled").locator("input").check()
    page.evaluate("ipAdapterShowActive()")
    badge = page.locator(".ip-adapter-badge:not([hidden])")
    badge.wait_for()
    shown = badge.evaluate("badge => { const s = getComputedStyle(badge); return [s.color, s.backgroundColor]; }")
    dark, light = sorted(luminance(one) for one in shown)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    """Of ``rgb(r, g, b)``, as the guidelines for accessible pages reckon it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_picture_of_the_page_is_dragged_onto_the_reference(page: Any) -> None:
    unfold(page)
    page.locator("#txt2img_gallery img").drag_to(field(page, "image"))
    assert taken(page, 1) == {IMAGE: "image/png"}


DROP = """(field, [type, text]) => {
    const data = new DataTransfer();
    if (type === "file") data.items.add(new File([text], "a.png", {type: "image/png"}));
    else data.setData(type, text);
    const options = {dataTransfer: data, bubbles: true, cancelable: true};
    return ["dragover", "drop"].map(name => !field.dispatchEvent(new DragEvent(name, options)));
}"""


def test_a_file_from_the_desktop_is_dropped_anywhere_in_the_panel(page: Any) -> None:
    unfold(page)
    assert field(page, "enabled").evaluate(DROP, ["file", "GIF89a"]) == [True, True]
    assert taken(page, 1) == {IMAGE: "image/png"}


def test_what_is_dropped_on_a_topics_heading_is_the_reference_and_goes_into_no_folded_field(page: Any) -> None:
    unfold(page)
    heading = field(page, "weight_type_panel").locator(".label-wrap")
    assert heading.evaluate(DROP, ["file", "GIF89a"]) == [True, True]
    assert taken(page, 1) == {IMAGE: "image/png"}


def test_what_is_dropped_on_the_folded_panel_is_the_open_units_reference(page: Any) -> None:
    page.locator(".tab-nav").evaluate("tabs => [...tabs.children].forEach(tab => tab.classList.toggle('selected'))")
    assert page.locator("#ip_adapter_txt2img > .label-wrap").evaluate(DROP, ["file", "GIF89a"]) == [True, True]
    assert list(taken(page, 1)) == ["ip_adapter_txt2img_unit_2_image"]


def test_dropped_text_is_left_to_the_page(page: Any) -> None:
    unfold(page)
    assert field(page, "image").evaluate(DROP, ["text/plain", "a cat"]) == [False, False]
    assert taken(page) == {}


@pytest.mark.parametrize("name", ["image", "mask", "images", "composition_image"])
def test_an_address_that_cannot_be_fetched_is_said(page: Any, name: str) -> None:
    unfold(page)
    field(page, name).evaluate(DROP, ["text/uri-list", "http://127.0.0.1:9/none.png"])
    field(page, "note").get_by_text("cannot be fetched").wait_for()
    assert taken(page) == {}


PASTE = """(element) => {
    const data = new DataTransfer();
    data.items.add(new File(["GIF89a"], "a.png", {type: "image/png"}));
    const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
    return !element.dispatchEvent(event);
}"""


def test_a_picture_is_pasted_where_the_panel_has_the_focus(page: Any) -> None:
    unfold(page)
    field(page, "enabled", 2).locator("input").focus()
    assert page.locator("body").evaluate(PASTE)
    assert taken(page, 1) == {IMAGE: "image/png"}


def test_a_picture_is_pasted_into_the_field_under_the_mouse(page: Any) -> None:
    unfold(page)
    field(page, "image", 2).hover()
    assert page.locator("body").evaluate(PASTE)
    assert list(taken(page, 1)) == ["ip_adapter_txt2img_unit_2_image"]


OTHER = """() => {
    const other = Object.assign(document.createElement("div"), {id: "other", textContent: "a picture"});
    other.dataset.testid = "image";
    document.body.prepend(other);
}"""


def test_what_is_pasted_over_another_field_for_pictures_is_left_to_it(page: Any) -> None:
    """Though the panel has the focus still."""
    unfold(page)
    page.evaluate(OTHER)
    field(page, "enabled").locator("input").focus()
    page.locator("#other").hover()
    assert not field(page, "enabled").locator("input").evaluate(PASTE)
    assert taken(page) == {}


SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="6" height="4"><rect width="6" height="4" fill="red"/></svg>"""


def test_a_drawing_is_handed_over_as_a_picture_that_the_server_can_read(page: Any) -> None:
    unfold(page)
    svg = DROP.replace("a.png", "a.svg").replace("image/png", "image/svg+xml")
    field(page, "image").evaluate(svg, ["file", SVG])
    assert taken(page, 1) == {IMAGE: "image/png"}
    page.wait_for_function("window.size")
    assert page.evaluate("window.size") == [6, 4]
    choose(page, "mask", SVG.encode(), "a.svg", "image/svg+xml")
    assert taken(page, 2)["ip_adapter_txt2img_unit_1_mask"] == "image/png"


TIFF = b"II*\0 and so on"


def test_a_picture_that_the_browser_alone_cannot_show_is_handed_over_but_not_as_a_mask(page: Any) -> None:
    """Over it nobody could draw."""
    unfold(page)
    choose(page, "image", TIFF, "a.tiff", "image/tiff")
    assert taken(page, 1) == {IMAGE: "image/tiff"}
    choose(page, "mask", TIFF, "a.tiff", "image/tiff")
    field(page, "note").get_by_text("cannot be read").wait_for()
    assert taken(page, 1) == {IMAGE: "image/tiff"}


@pytest.mark.parametrize("name", ["image", "mask", "images", "composition_image"])
@pytest.mark.parametrize(("file", "kind"), [("a.heic", "image/heic"), ("page.png", "image/png"), ("a.jxl", "")])
def test_a_picture_that_cannot_be_read_is_said_and_not_handed_over(page: Any, name: str, file: str, kind: str) -> None:
    """Dropped, and chosen in a dialog. A page of the web may be called like a picture."""
    unfold(page)
    dropped = DROP.replace("a.png", file).replace("image/png", kind)
    assert field(page, name).evaluate(dropped, ["file", "<html>"]) == [True, True]
    field(page, "note").get_by_text("cannot be read").wait_for()
    page.evaluate("document.querySelector('[id$=unit_1_note] .prose').textContent = ''")
    choose(page, name, b"<html>", file, kind or "application/octet-stream")
    field(page, "note").get_by_text("cannot be read").wait_for()
    assert taken(page) == {}


def test_a_picture_that_cannot_be_read_takes_the_place_of_none(page: Any) -> None:
    """Nor does one that is given together with others."""
    from tests.webui.test_further import expect_thumbnails, upload

    unfold(page)
    upload(page, "red")
    expect_thumbnails(page, "1 red 1", weights="")
    field(page, "images_panel").evaluate(DROP, ["file", "<html>"])
    field(page, "note").get_by_text("cannot be read").wait_for()
    expect_thumbnails(page, "1 red 1", weights="")


SKETCH = """field => {
    const sketch = document.createElement("div");
    sketch.innerHTML = '<img><canvas></canvas><button aria-label="Remove Image"></button>';
    sketch.querySelector("button").onclick = () => setTimeout(() => sketch.remove(), 200);
    field.querySelector(".place").prepend(sketch);
    field.addEventListener("change", () => { window.left = field.querySelectorAll("img, canvas").length; });
}"""
"""As gradio 3 has it, which lets it fade before it is gone."""


def test_a_canvas_takes_the_place_of_one_that_has_been_drawn_on(page: Any) -> None:
    unfold(page)
    field(page, "mask").evaluate(SKETCH)
    field(page, "mask_blank").click()
    page.wait_for_function("window.size")
    assert page.evaluate("window.left") == 0


LISTENED = """box => {
    window.ups = [], window.entered = [];
    box.addEventListener("keyup", () => ups.push(box.value));
    box.addEventListener("keydown", event => event.key === "Enter" && entered.push(box.value));
    document.addEventListener("keydown", event => { window.heard = [event.key, event.ctrlKey]; });
}"""


def test_what_is_put_into_a_list_counts_without_a_key_and_enter_leaves_it(page: Any) -> None:
    unfold(page)
    box = field(page, "preset").locator("input")
    box.evaluate(LISTENED)
    box.fill("soft")
    assert page.evaluate("ups") == ["soft"]
    box.press("Control+Enter")
    assert page.evaluate("[entered, heard]") == [[], ["Enter", True]]
    assert not box.evaluate("box => box === document.activeElement"), "as after an entry that was chosen"


def test_enter_takes_the_entry_to_which_the_arrow_keys_have_gone(page: Any) -> None:
    unfold(page)
    box = field(page, "preset").locator("input")
    box.evaluate(LISTENED)
    box.fill("soft")
    box.press("ArrowDown")
    box.press("Enter")
    assert page.evaluate("entered") == ["soft"]
    box.fill("softer")
    box.press("Enter")
    assert page.evaluate("entered") == ["soft"]


@pytest.mark.parametrize(("text", "is_taken"), [("1\t0.5", False), ("", True)])
def test_words_that_come_with_a_picture_of_themselves_are_pasted_as_words(text: str, is_taken: bool, page: Any) -> None:
    """As cells of a spreadsheet are."""
    unfold(page)
    field(page, "grid").hover()
    with_words = PASTE.replace("const event", f"if ({text!r}) data.setData('text/plain', {text!r}); const event", 1)
    assert field(page, "grid").locator("textarea").evaluate(with_words) == is_taken
    assert bool(taken(page, int(is_taken))) == is_taken


def test_what_is_pasted_elsewhere_is_left_to_the_page(page: Any) -> None:
    unfold(page)
    page.locator("#txt2img_prompt textarea").focus()
    page.mouse.move(0, 0)
    assert not page.locator("body").evaluate(PASTE)
    assert taken(page) == {}


def test_every_control_explains_itself_to_mouse_and_reader(page: Any) -> None:
    unfold(page)
    assert field(page, "curve").get_attribute("title") == ABOUT["curve"]
    assert field(page, "curve").locator("textarea").get_attribute("aria-description") == ABOUT["curve"]


def test_what_is_no_button_in_gradio_3_is_one_for_the_keyboard(page: Any) -> None:
    label = page.locator("#ip_adapter_txt2img > .label-wrap")
    assert [label.get_attribute(name) for name in ("role", "aria-expanded")] == ["button", "false"]
    label.press("Enter")
    page.wait_for_timeout(300)
    assert label.get_attribute("aria-expanded") == "true"
    with page.expect_file_chooser():
        field(page, "image").locator(".place").evaluate("e => e.onclick = () => e.querySelector('input').click()")
        field(page, "image").locator(".place").press(" ")


def test_the_panel_is_walked_through_with_the_tab_key(page: Any) -> None:
    page.locator("#ip_adapter_txt2img > .label-wrap").focus()
    page.keyboard.press("Enter")
    met = []
    for _ in range(12):
        page.keyboard.press("Tab")
        met.append(page.evaluate("document.activeElement.closest('[id]')?.id.replace(/.*unit_1_/, '')"))
    assert list(dict.fromkeys(met))[1:6] == ["enabled", "image", "refresh", "curve_panel", "curve"]


def test_what_happens_in_the_rest_of_the_page_costs_the_panel_nothing(page: Any) -> None:
    page.wait_for_timeout(600)  # what our own scripts put into the panel first is looked at once more
    page.evaluate("window.looks = 0; window.ipAdapter.onPanelUpdate(() => looks++)")
    page.evaluate("document.querySelector('#txt2img_gallery').append('progress')")
    page.wait_for_timeout(600)
    assert page.evaluate("looks") == 0
    field(page, "note").evaluate("note => note.append('a note')")
    page.wait_for_function("looks === 1")


def test_nothing_sticks_out_on_a_phone(page: Any) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    unfold(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_mask_is_drawn_on_a_canvas_of_the_pictures_size(page: Any) -> None:
    unfold(page)
    page.locator("#ip_adapter_txt2img_unit_2_mask_blank").click()
    page.wait_for_function("window.size")
    assert page.evaluate("window.size") == [96, 160]
    assert taken(page, 1) == {"ip_adapter_txt2img_unit_2_mask": "image/png"}
    assert page.get_by_text("Blank canvas").count() == 2, "one in each unit"


def test_in_img2img_the_canvas_has_the_shape_of_the_picture_there(page: Any) -> None:
    unfold(page)
    page.evaluate(
        """async picture => {
            document.getElementById("ip_adapter_txt2img").id = "ip_adapter_img2img";
            const mode = document.createElement("div"), source = new Image();
            Object.assign(mode, {id: "mode_img2img"}).append(source);
            document.body.prepend(mode);
            source.src = picture;
            await source.decode();
        }""",
        picture(4096, 1024),
    )
    page.locator("#ip_adapter_txt2img_unit_2_mask_blank").click()
    page.wait_for_function("window.size")
    assert page.evaluate("window.size") == [2048, 512], "no larger than a mask need be"
