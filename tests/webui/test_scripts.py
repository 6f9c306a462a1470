"""The page's scripts in a browser, on as much of a page as they look at."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_ipadapter.session.unit import Unit
from tests.browser import opened_browser

ROOT = Path(__file__).parents[2]
SCRIPTS = [ROOT / "pocket" / "page.js", *sorted((ROOT / "javascript").glob("*.js"))]
ABOUT = {"curve": 'Weights over the steps, as "0:1, 1:0".'}

UNIT = """
<div id="{unit}_enabled"><label><input type="checkbox">Enable</label></div>
<div id="{unit}_image"><label>Reference picture</label>
  <div data-testid="image"><div class="place">Drop<input type="file" hidden></div></div></div>
<div id="{unit}_note"><div class="prose"></div></div>
<button id="{unit}_refresh">refresh</button>
<div id="{unit}_curve_panel"><div class="label-wrap">When</div>
  <div id="{unit}_curve" class="block"><label>Curve<textarea></textarea></label></div></div>
<div id="{unit}_grid" class="block"><label>Grid<textarea></textarea></label></div>
<div id="{unit}_images_panel"><div id="{unit}_images" class="files"><input type="file" multiple>
    <button aria-label="Clear"></button><div class="list"></div></div>
  <div id="{unit}_weights" class="block"><label>Weights<textarea></textarea></label></div></div>
"""
PAGE = """<!DOCTYPE html><html><head><style>{style}</style></head><body>
<div id="txt2img_prompt"><textarea></textarea></div>
<div id="txt2img_gallery"><img src="{picture}" width="60" height="60"></div>
<div id="image_buttons_txt2img"><button class="tool">x</button></div>
<div id="ip_adapter_txt2img" class="ip-adapter"><div class="label-wrap"><span>IP-Adapter</span></div>
<div id="content" style="display: none">{units}<div data-about="{about}" hidden></div></div></div>
<script>
const outer = document.querySelector("#ip_adapter_txt2img > .label-wrap");
outer.onclick = () => {{ content.style.display = outer.classList.toggle("open") ? "block" : "none"; }};
for (const field of document.querySelectorAll(".files")) {{
    const list = field.querySelector(".list");
    const href = file => URL.createObjectURL(file);
    const link = file => Object.assign(document.createElement("a"), {{download: file.name, href: href(file)}});
    field.querySelector("input").onchange = event => list.replaceChildren(...[...event.target.files].map(link));
    field.querySelector("button").onclick = () => list.replaceChildren();
}}
window.taken = {{}};
document.addEventListener("change", event => {{
    if (event.target.type === "file") window.taken[event.target.closest("[id]").id] = event.target.files[0].type;
}});
</script>
{scripts}</body></html>"""


def picture() -> str:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def page_text() -> str:
    units = "".join(
        f'<div class="unit">{UNIT.format(unit=f"ip_adapter_txt2img_unit_{number}")}</div>' for number in (1, 2)
    )
    return PAGE.format(
        style=(ROOT / "style.css").read_text(encoding="utf-8"),
        picture=picture(),
        units=units,
        about=html.escape(json.dumps(ABOUT)),
        scripts="".join(f"<script>{script.read_text(encoding='utf-8')}</script>" for script in SCRIPTS),
    )


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


def field(page: Any, name: str, unit: int = 1) -> Any:
    return page.locator(f"#ip_adapter_txt2img_unit_{unit}_{name}")


def unfold(page: Any) -> None:
    page.locator("#ip_adapter_txt2img > .label-wrap").click()


def text(page: Any, name: str) -> str:
    return field(page, name).locator("textarea").input_value()


def drawn(page: Any, name: str) -> str:
    """What an editor has written, which every job must take."""
    return getattr(Unit.parse({name: text(page, name)}), name)


def type_into(page: Any, name: str, value: str) -> None:
    field(page, name).locator("textarea").fill(value)


def taken(page: Any) -> dict[str, str]:
    page.wait_for_timeout(300)
    return page.evaluate("window.taken")


IMAGE = "ip_adapter_txt2img_unit_1_image"


def test_the_gallerys_picture_is_sent_to_the_first_unit_and_the_panel_unfolds(page: Any) -> None:
    page.locator("#txt2img_send_to_ip_adapter").click()
    field(page, "image").wait_for()
    assert taken(page) == {IMAGE: "image/png"}


def test_a_picture_is_sent_to_the_unit_whose_tab_is_open(page: Any) -> None:
    page.locator(".unit").first.evaluate("unit => unit.style.display = 'none'")
    page.locator("#txt2img_send_to_ip_adapter").click()
    assert list(taken(page)) == ["ip_adapter_txt2img_unit_2_image"]


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


def test_a_picture_of_the_page_is_dragged_onto_the_reference(page: Any) -> None:
    unfold(page)
    page.locator("#txt2img_gallery img").drag_to(field(page, "image"))
    assert taken(page) == {IMAGE: "image/png"}


DROP = """(field, [type, text]) => {
    const data = new DataTransfer();
    if (type === "file") data.items.add(new File([text], "a.png", {type: "image/png"}));
    else data.setData(type, text);
    const options = {dataTransfer: data, bubbles: true, cancelable: true};
    return ["dragover", "drop"].map(name => !field.dispatchEvent(new DragEvent(name, options)));
}"""


def test_a_file_from_the_desktop_is_dropped_anywhere_in_the_panel(page: Any) -> None:
    unfold(page)
    assert field(page, "enabled").evaluate(DROP, ["file", "..."]) == [True, True]
    assert taken(page) == {IMAGE: "image/png"}


def test_dropped_text_is_left_to_the_page(page: Any) -> None:
    unfold(page)
    assert field(page, "image").evaluate(DROP, ["text/plain", "a cat"]) == [False, False]
    assert taken(page) == {}


def test_an_address_that_cannot_be_fetched_is_said(page: Any) -> None:
    unfold(page)
    field(page, "image").evaluate(DROP, ["text/uri-list", "http://127.0.0.1:9/none.png"])
    page.get_by_text("cannot be fetched").wait_for()
    assert taken(page) == {}


PASTE = """(element) => {
    const data = new DataTransfer();
    data.items.add(new File(["..."], "a.png", {type: "image/png"}));
    const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true});
    return !element.dispatchEvent(event);
}"""


def test_a_picture_is_pasted_where_the_panel_has_the_focus(page: Any) -> None:
    unfold(page)
    field(page, "enabled", 2).locator("input").focus()
    assert page.locator("body").evaluate(PASTE)
    assert taken(page) == {IMAGE: "image/png"}


def test_a_picture_is_pasted_into_the_field_under_the_mouse(page: Any) -> None:
    unfold(page)
    field(page, "image", 2).hover()
    assert page.locator("body").evaluate(PASTE)
    assert list(taken(page)) == ["ip_adapter_txt2img_unit_2_image"]


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
    assert list(dict.fromkeys(met))[:5] == ["enabled", "image", "refresh", "curve_panel", "curve"]


def test_a_curve_is_drawn_by_keys(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0:1, 0.5:0.3, 1:0")
    points = field(page, "curve").locator("circle")
    assert points.count() == 3
    points.nth(1).focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert drawn(page, "curve") == "0:1, 0.6:0.35, 1:0"
    page.keyboard.press("Delete")
    assert drawn(page, "curve") == "0:1, 1:0"
    field(page, "curve").get_by_text("Add a point").click()
    assert drawn(page, "curve") == "0:1, 0.5:0.5, 1:0"


def test_a_curve_is_drawn_by_mouse(page: Any) -> None:
    unfold(page)
    field(page, "curve").scroll_into_view_if_needed()
    drawing = field(page, "curve").locator("svg")
    box = drawing.bounding_box()
    drawing.dblclick(position={"x": box["width"] / 2, "y": box["height"] / 2})
    assert drawn(page, "curve") == "0:1, 0.5:0.5, 1:1"
    dot = drawing.locator("circle").nth(2).bounding_box()
    page.mouse.move(dot["x"] + 7, dot["y"] + 7)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + box["height"], steps=4)
    page.mouse.up()
    page.mouse.move(box["x"], box["y"])
    assert drawn(page, "curve") == "0:1, 0.5:0.5, 1:0"


def test_points_do_not_pass_each_other(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0.4:1, 0.45:0")
    field(page, "curve").locator("circle").first.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert drawn(page, "curve") == "0.45:1, 0.45:0"


FOREIGN = {
    "curve": ("[0.3:0.9:0.5]", "0.5:1, 0.2:1", "0.5:", "0:1,", "0:1, 2:1", "0:6"),
    "grid": ("1 1; 0", "none", "1, ; 2, 1", "1;; 1", "1 6"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_text_in_another_notation_or_with_a_fault_is_left_as_it_is(page: Any, name: str) -> None:
    unfold(page)
    for foreign in FOREIGN[name]:
        type_into(page, name, foreign)
        assert field(page, name).locator(".ip-adapter-foreign").count() == 1
        for place in field(page, name).locator("[role=gridcell], button").all()[:2]:
            place.click()
        assert text(page, name) == foreign


@pytest.mark.parametrize(("name", "least"), [("curve", "0:4.98"), ("grid", "4.98 1")])
def test_no_key_leads_past_what_a_job_takes(page: Any, name: str, least: str) -> None:
    unfold(page)
    type_into(page, name, least)
    field(page, name).locator("circle, [role=gridcell]").first.focus()
    for _ in range(2):
        page.keyboard.press("ArrowUp" if name == "curve" else "+")
    assert drawn(page, name) == {"curve": "0:5", "grid": "5, 1"}[name]


def test_a_text_that_is_set_by_a_paste_is_drawn(page: Any) -> None:
    unfold(page)
    field(page, "curve").locator("textarea").evaluate("box => box.value = '0:1, 0.2:0.5, 0.4:1, 1:0'")
    field(page, "curve").locator("circle").nth(3).wait_for()


def test_a_grid_is_painted_by_keys(page: Any) -> None:
    unfold(page)
    type_into(page, "grid", "1 1 0.5; 0 0 1")
    cells = field(page, "grid").locator("[role=gridcell]")
    assert cells.count() == 6
    cells.first.focus()
    for key in ("ArrowRight", "ArrowDown", "+", "+", "ArrowLeft", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert drawn(page, "grid") == "0, 1, 0.5; 0, 0.2, 1"


def test_a_grid_is_painted_by_mouse_over_several_cells(page: Any) -> None:
    unfold(page)
    type_into(page, "grid", "1 1 1; 1 1 1")
    field(page, "grid").scroll_into_view_if_needed()
    field(page, "grid").get_by_label("Weight to paint").fill("0.3")
    first, last = (field(page, "grid").locator("[role=gridcell]").nth(i).bounding_box() for i in (0, 2))
    page.mouse.move(first["x"] + 5, first["y"] + 5)
    page.mouse.down()
    page.mouse.move(last["x"] + 5, last["y"] + 5, steps=20)
    page.mouse.up()
    assert drawn(page, "grid") == "0.3, 0.3, 0.3; 1, 1, 1"


def test_a_grid_is_stretched_to_other_numbers(page: Any) -> None:
    unfold(page)
    type_into(page, "grid", "1 0")
    for label, number in (("Rows of layers", "2"), ("Parts of the steps", "4")):
        field(page, "grid").get_by_label(label).fill(number)
        field(page, "grid").get_by_label(label).press("Tab")
    assert drawn(page, "grid") == "1, 1, 0, 0; 1, 1, 0, 0"


def upload(page: Any, *colours: str) -> None:
    """As further pictures, each called by its colour."""
    files = []
    for colour in colours:
        file = io.BytesIO()
        Image.new("RGB", (8, 8), colour).save(file, "PNG")
        files.append({"name": colour, "mimeType": "image/png", "buffer": file.getvalue()})
    field(page, "images").locator("input").set_input_files(files)


def expect_thumbnails(page: Any, *shown: str, weights: str) -> None:
    """Number, name and weight of each in turn, once they are so; and the text of weights."""
    script = """wanted => [...document.querySelectorAll(".ip-adapter-further [role=listitem]")].map(item =>
        [item.querySelector("label").textContent, item.querySelector("img").alt, item.querySelector("input").value]
            .join(" ")).join() === wanted"""
    page.wait_for_function(script, arg=",".join(shown))
    assert text(page, "weights") == weights


def thumbnail(page: Any, number: int) -> Any:
    return page.locator(".ip-adapter-further [role=listitem]").nth(number - 1)


def test_further_pictures_are_shown_with_their_weights(page: Any) -> None:
    unfold(page)
    upload(page, "red", "green")
    expect_thumbnails(page, "1 red 1", "2 green 1", weights="")
    type_into(page, "weights", "0.5, 0.25")
    expect_thumbnails(page, "1 red 0.5", "2 green 0.25", weights="0.5, 0.25")
    thumbnail(page, 2).locator("input").fill("9")
    thumbnail(page, 2).locator("input").blur()
    expect_thumbnails(page, "1 red 0.5", "2 green 3", weights="0.5 3")


def test_weights_count_from_the_reference_picture(page: Any) -> None:
    unfold(page)
    upload(page, "red")
    type_into(page, "weights", "0.5 0.25")
    field(page, "image").locator("[data-testid=image]").evaluate("place => place.append(new Image())")
    expect_thumbnails(page, "2 red 0.25", weights="0.5 0.25")


def test_a_further_picture_is_moved_and_taken_out_together_with_its_weight(page: Any) -> None:
    unfold(page)
    upload(page, "red", "green", "blue")
    type_into(page, "weights", "1 0.5")
    assert thumbnail(page, 1).get_by_label("Move to the left").is_disabled()
    thumbnail(page, 2).get_by_label("Move to the right").press("Enter")
    expect_thumbnails(page, "1 red 1", "2 blue 1", "3 green 0.5", weights="1 1 0.5")
    thumbnail(page, 3).drag_to(thumbnail(page, 1))
    expect_thumbnails(page, "1 green 0.5", "2 red 1", "3 blue 1", weights="0.5")
    thumbnail(page, 1).get_by_label("Take out").click()
    expect_thumbnails(page, "1 red 1", "2 blue 1", weights="")


def test_weights_in_another_notation_are_left_as_they_are(page: Any) -> None:
    unfold(page)
    upload(page, "red", "green")
    type_into(page, "weights", "half")
    assert thumbnail(page, 2).locator("input").is_disabled()
    thumbnail(page, 2).get_by_label("Move to the left").click()
    expect_thumbnails(page, "1 green 1", "2 red 1", weights="half")


def test_pictures_that_are_dropped_on_the_further_ones_are_added_to_them(page: Any) -> None:
    unfold(page)
    upload(page, "red")
    field(page, "images_panel").evaluate("""panel => {
        const data = new DataTransfer();
        for (const name of ["one", "two"]) data.items.add(new File(["x"], name, {type: "image/png"}));
        panel.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect_thumbnails(page, "1 red 1", "2 one 1", "3 two 1", weights="")


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
