"""The page in a browser: it makes the API's picture, and says what the extension does."""

from __future__ import annotations

import base64
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session.unit import FIELDS
from pocket.demo import REFERENCES
from pocket.draw import draw
from tests.live import models, pictures
from tests.live.client import Client, difference, encode
from tests.live.pictures import MakeUnit

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
from tests.live.page import DESKTOP, PATIENCE, PHONE, SCREENSHOTS, OpenPage, expect, send


@pytest.mark.parametrize("model", [models.BASE, models.PLUS])
def test_the_page_makes_the_apis_picture(model: str, client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    """Bit for bit, from the parameters of the API's picture and the reference."""
    made = client.txt2img([unit(model=model, scale=0.85, start=0.1, end=0.9)], steps=4)
    page = open_page()
    page.paste(made.infotext)
    page.upload(pictures.reference())
    page.generate()
    assert np.array_equal(page.picture(), made.picture)


def test_the_page_makes_the_apis_picture_without_pasting(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    """Enabled, uploaded and chosen by hand."""
    made = client.txt2img([unit()])
    page = open_page()
    page.paste(client.txt2img().infotext)
    page.enable()
    page.upload(pictures.reference())
    page.choose_model(models.BASE)
    page.generate()
    assert np.array_equal(page.picture(), made.picture)


def test_img2img_in_the_page_makes_the_apis_picture(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    source = pictures.reference(64, 64).transpose(Image.Transpose.ROTATE_90)
    client.settle()
    made = client.img2img(source, [unit()], steps=6, denoising_strength=0.6)
    page = open_page("img2img")
    send(page.at("img2img_image"), source)
    page.paste(made.infotext)
    page.upload(pictures.reference())
    client.settle()
    page.generate()
    assert np.array_equal(page.picture(), made.picture)


def test_a_mask_is_drawn_on_a_blank_canvas(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    """Over the whole of it: the picture is that of the whole mask, and without a stroke it was a black one."""
    whole = client.txt2img([unit(mask=encode(Image.new("L", (64, 64), 255)))])
    page = open_page()
    page.paste(client.txt2img([unit()]).infotext)
    page.upload(pictures.reference())
    page.unfold()
    page.at("ip_adapter_txt2img_unit_1_mask_blank").click()
    canvas = page.field("mask").locator("canvas").first
    expect(canvas).to_be_visible(timeout=PATIENCE)
    page.browser.wait_for_timeout(500)
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box
    page.browser.mouse.move(box["x"] + 2, box["y"] + 2)
    page.browser.mouse.down()
    for row in range(0, int(box["height"]), 8):
        for x in (2, box["width"] - 2):
            page.browser.mouse.move(box["x"] + x, box["y"] + row, steps=4)
    page.browser.mouse.up()
    page.generate()
    assert "mask: " in page.parameters()
    assert difference(page.picture(), whole.picture) < difference(page.picture(), client.txt2img().picture) / 4


COUNTED = """() => {
    const {ask} = ipAdapter.view;
    window.asked = 0;
    ipAdapter.view.ask = unit => ++asked > 50 ? new Promise(() => null) : ask(unit);
}"""
"""How often a view is asked for; one that went on for ever would leave nobody to see that, and so is stopped."""


def test_the_references_mask_is_uploaded_and_taken_away(open_page: OpenPage) -> None:
    """The view follows, and is asked for no more often than it must be."""
    page = open_page()
    page.upload(pictures.reference())
    page.unfold()
    view = page.field("view").locator("img")
    whole = view.get_attribute("src") or ""
    mask = Image.new("RGB", (64, 64))
    mask.paste("white", (0, 0, 64, 32))
    page.browser.evaluate(COUNTED)
    send(page.field("image_mask"), mask)
    expect(view).not_to_have_attribute("src", whole)
    assert page.browser.evaluate("asked") < 5
    page.field("image_mask").get_by_label("Remove Image").click()
    expect(view).to_have_attribute("src", whole)


INKED = """field => {
    const {width, height} = field, pixels = field.getContext("2d").getImageData(0, 0, width, height).data;
    return pixels.some((value, i) => i % 4 === 3 && value > 0);
}"""


def test_a_second_canvas_takes_the_place_of_one_that_was_drawn_on(client: Client, open_page: OpenPage) -> None:
    page = open_page()
    page.paste(client.txt2img().infotext)
    page.unfold()
    drawn = page.field("mask").locator("canvas[key=mask]")
    for is_first in (True, False):
        page.at("ip_adapter_txt2img_unit_1_mask_blank").click()
        page.browser.wait_for_timeout(1000)
        assert not drawn.evaluate(INKED)
        if is_first:
            drawn.scroll_into_view_if_needed()
            page.stroke(page.field("mask").locator("canvas").first)
            assert drawn.evaluate(INKED)
    page.generate()
    assert page.picture().shape == (64, 64, 3)


def test_a_preset_is_saved_under_the_name_that_its_box_shows(open_page: OpenPage) -> None:
    """Pasted by the mouse, and though Enter has been pressed while another one had it in its name."""
    page = open_page()
    box = page.field("preset").locator("input")
    for button in ("save", "delete"):
        for name in ("portrait soft", "soft"):
            box.fill(name)
            box.press("Enter")
            expect(box).to_have_value(name)
            page.field(f"preset_{button}").click()
            if button == "save":
                expect(page.browser.get_by_text(f"the preset {name!r} is saved")).to_be_visible()
            expect(box).to_have_value(name if button == "save" else "")


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64" fill="red"/></svg>'


def test_a_picture_that_the_server_cannot_read_is_drawn_or_refused(client: Client, open_page: OpenPage) -> None:
    """In no case it stops a job whose unit is off."""
    page = open_page()
    page.paste(client.txt2img().infotext)
    upload = page.field("image").locator("input[type=file]")
    upload.set_input_files({"name": "a.heic", "mimeType": "image/heic", "buffer": b"    ftypheic"})
    expect(page.note).to_contain_text("cannot be read")
    expect(page.field("image").locator("img")).to_have_count(0)
    upload.set_input_files({"name": "a.svg", "mimeType": "image/svg+xml", "buffer": SVG})
    expect(page.field("view")).to_be_visible(timeout=PATIENCE)
    expect(page.note).to_contain_text(content_hash(Image.new("RGB", (64, 64), "red"))[:12])
    page.generate()
    assert page.picture().shape == (64, 64, 3)


def test_pasted_parameters_restore_every_field(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    units = [
        unit(scale=0.35, start=0.1, end=0.8),
        unit(model=models.PLUS, scale=1.2, end=0.55),
    ]
    page = open_page()
    page.paste(client.txt2img(units).infotext)
    shown = [[page.value(name, number) for name in ("model", "scale", "start", "end")] for number in (1, 2)]
    assert shown == [[models.BASE, "0.35", "0.1", "0.8"], [models.PLUS, "1.2", "0", "0.55"]]
    assert [page.enabled(number) for number in (1, 2, 3)] == [True, True, False]
    expect(page.badge).to_have_text("2 active")
    expect(page.note).to_contain_text("191d38c716b2")


def test_pasted_parameters_without_units_switch_them_off(client: Client, open_page: OpenPage) -> None:
    page = open_page()
    page.enable()
    page.paste(client.txt2img().infotext)
    assert not page.enabled()
    expect(page.badge).to_be_hidden()


def test_an_unknown_model_in_pasted_parameters_is_said(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    infotext = client.txt2img([unit()]).infotext.replace(models.BASE, "somebody-elses")
    page = open_page()
    page.paste(infotext)
    expect(page.browser.get_by_text("there is no model 'somebody-elses' here")).to_be_visible()


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_the_label_says_how_many_units_are_active(tab: str, open_page: OpenPage) -> None:
    page = open_page(tab)
    expect(page.badge).to_be_hidden()
    page.enable()
    expect(page.badge).to_have_text("1 active")
    page.field("enabled").locator("input").uncheck()
    expect(page.badge).to_be_hidden()


def test_the_crop_that_the_encoder_sees_is_shown(open_page: OpenPage) -> None:
    page = open_page()
    expect(page.field("view")).to_be_hidden()
    page.upload(pictures.reference(400, 200))
    expect(page.note).to_contain_text("only the square in its middle is seen")
    page.field("image").get_by_label("Clear").click()
    expect(page.field("view")).to_be_hidden()


def test_models_are_found_anew_and_misfits_are_marked(open_page: OpenPage, models_dir: Path) -> None:
    page = open_page()
    misfit = "does not fit: it is for SDXL, the checkpoint is SD1.5"
    page.wait_for_model(models.BASE)
    page.wait_for_model(f"{models.WRONG_FAMILY} [{misfit}")
    added = models_dir / "ip-adapter" / "added-later.safetensors"
    shutil.copy(models_dir / "ip-adapter" / f"{models.BASE}.safetensors", added)
    try:
        page.field("refresh").click()
        page.wait_for_model("added-later", unit=2)
    finally:
        added.unlink()


def test_only_encoders_that_fit_the_model_can_be_chosen(open_page: OpenPage) -> None:
    page = open_page()
    page.field("encoder_panel").locator(".label-wrap").click()
    every = page.offered("encoder")
    page.wait_for_model(models.BASE)
    page.choose_model(models.BASE)
    page.choose("encoder", models.ENCODER)
    page.choose_model(models.NO_ENCODER)
    expect(page.field("encoder").locator("input")).to_have_value("Automatic", timeout=PATIENCE)
    assert page.offered("encoder") == ["Automatic"]
    assert models.ENCODER in every
    page.field("encoder").locator("input").blur()
    page.choose_model(models.BASE)
    page.choose("encoder", models.ENCODER)
    expect(page.field("encoder").locator("input")).to_have_value(models.ENCODER)


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_the_gallerys_picture_is_sent_to_the_panel(tab: str, client: Client, open_page: OpenPage) -> None:
    page = open_page(tab)
    page.panel.locator(".label-wrap").first.click()
    if tab == "img2img":
        send(page.at("img2img_image"), pictures.reference())
    page.paste(client.txt2img().infotext)
    page.generate()
    made = page.picture()
    page.at(f"{tab}_send_to_ip_adapter").click()
    expect(page.note).to_contain_text(content_hash(Image.fromarray(made))[:12], timeout=PATIENCE)
    expect(page.field("image")).to_be_visible()
    page.shoot(SCREENSHOTS / f"sent {tab}.png")


def test_a_picture_is_dragged_from_the_gallery_and_replaces_another(client: Client, open_page: OpenPage) -> None:
    page = open_page()
    page.upload(pictures.reference())
    page.paste(client.txt2img().infotext)
    page.generate()
    shown = page.at("txt2img_gallery").locator("img").first
    shown.drag_to(page.field("image"))
    expect(page.note).to_contain_text(content_hash(Image.fromarray(page.picture()))[:12], timeout=PATIENCE)


PASTE = """(body, text) => {
    const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
    const data = new DataTransfer();
    data.items.add(new File([bytes], "a.png", {type: "image/png"}));
    body.dispatchEvent(new ClipboardEvent("paste", {clipboardData: data, bubbles: true, cancelable: true}));
}"""


def test_a_picture_is_pasted_from_the_clipboard_into_the_open_unit(open_page: OpenPage) -> None:
    page = open_page()
    page.panel.locator(".tab-nav button").nth(1).click()
    page.field("scale", 2).hover()
    file = io.BytesIO()
    pictures.reference().save(file, "PNG")
    page.browser.locator("body").evaluate(PASTE, base64.b64encode(file.getvalue()).decode())
    expect(page.field("view", 2)).to_be_visible(timeout=PATIENCE)
    expect(page.field("note", 2).locator(".prose")).to_contain_text(content_hash(pictures.reference())[:12])
    expect(page.field("view", 1)).to_be_hidden()


def test_the_panel_is_reached_and_used_by_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page()
    label = page.panel.locator(".label-wrap").first
    label.focus()
    page.browser.keyboard.press("Enter")
    expect(page.field("model")).to_be_hidden()
    page.browser.keyboard.press("Enter")
    expect(page.field("model")).to_be_visible()
    met = []
    for _ in range(40):
        page.browser.keyboard.press("Tab")
        met.append(page.browser.evaluate("document.activeElement.closest('[id*=ip_adapter]')?.id ?? ''"))
        if met[-1].endswith("_enabled"):
            page.browser.keyboard.press("Space")
    names = [name for name in dict.fromkeys(one.removeprefix("ip_adapter_txt2img_unit_1_") for one in met) if name]
    wanted = ["enabled", "image", "model", "refresh", "scale", "start", "end", "encoder_panel", "face_panel"]
    assert [name for name in names if name in wanted] == wanted
    expect(page.badge).to_have_text("1 active")


def test_every_control_says_what_it_is_for(open_page: OpenPage) -> None:
    page = open_page()
    for field in FIELDS:
        expect(page.field(field.name)).to_have_attribute("title", field.about)


@pytest.mark.parametrize("tab", ["txt2img", "img2img"])
def test_each_tab_unloads_the_models_and_says_so(tab: str, client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    client.txt2img([unit()])
    page = open_page(tab)
    page.at(f"ip_adapter_{tab}_unload").click()
    expect(page.browser.get_by_text("of memory are free again")).to_be_visible(timeout=PATIENCE)
    assert client.post("/ip-adapter/unload")["freed"] == 0


FAILURES = {
    "no picture": (models.BASE, False, "without a reference picture"),
    "no model": (None, True, "without a model"),
    "wrong family": (models.WRONG_FAMILY, True, "it is for SDXL, the checkpoint is SD1.5"),
    "no encoder": (models.NO_ENCODER, True, "No image encoder for this adapter"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_said_in_the_page(name: str, client: Client, open_page: OpenPage) -> None:
    model, upload, sentence = FAILURES[name]
    page = open_page()
    page.paste(client.txt2img().infotext)
    page.enable()
    if upload:
        page.upload(pictures.reference())
    if model:
        page.choose_model(model)
    page.generate()
    expect(page.log.locator(".error")).to_contain_text(sentence)
    page.shoot(SCREENSHOTS / f"failure {name}.png")


def test_with_the_setting_the_page_says_that_it_went_on(client: Client, open_page: OpenPage) -> None:
    page = open_page()
    page.paste(client.txt2img().infotext)
    page.enable()
    with client.settings(ip_adapter_go_on=True):
        page.generate()
    assert page.picture().shape == (64, 64, 3)
    expect(page.log).to_contain_text("without a reference picture")
    expect(page.at("txt2img_results").locator(".prose.infotext")).to_contain_text("IP-Adapter error")


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_panel_fits_its_place(theme: str, size: dict[str, int], open_page: OpenPage) -> None:
    """Nothing sticks out to the side. Screenshots are kept to be looked at."""
    page = open_page(theme=theme, size=size)
    page.enable()
    page.upload(draw(REFERENCES[0]).resize((384, 384), Image.Resampling.LANCZOS))
    page.choose_model(models.BASE)
    assert page.browser.evaluate("document.documentElement.scrollWidth") <= size["width"]
    name = f"{theme} {size['width']}"
    page.shoot(SCREENSHOTS / f"{name}.png")
    page.panel.screenshot(path=SCREENSHOTS / f"{name} panel.png")
    panel = page.panel.bounding_box()
    assert panel is not None
    for field in ("image", "view", "model", "refresh", "scale", "start", "end"):
        box = page.field(field).bounding_box()
        assert box is not None
        assert box["x"] >= panel["x"]
        assert box["x"] + box["width"] <= panel["x"] + panel["width"] + 1
