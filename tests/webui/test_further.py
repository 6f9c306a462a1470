"""Thumbnails of the further pictures, in a browser."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from tests.webui.scripts_page import field, text, type_into, unfold


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
    thumbnail(page, 2).locator("input").fill("")
    thumbnail(page, 2).locator("input").blur()
    expect_thumbnails(page, "1 red 0.5", "2 green 1", weights="0.5")


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
        for (const name of ["one", "two"]) data.items.add(new File(["GIF89a"], name, {type: "image/png"}));
        panel.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
    }""")
    expect_thumbnails(page, "1 red 1", "2 one 1", "3 two 1", weights="")


def test_what_is_dropped_while_another_picture_is_on_its_way_is_added_too(page: Any) -> None:
    unfold(page)
    field(page, "images_panel").evaluate("""panel => {
        for (const name of ["one", "two"]) {
            const data = new DataTransfer();
            data.items.add(new File(["GIF89a"], name, {type: "image/png"}));
            panel.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));
        }
    }""")
    expect_thumbnails(page, "1 one 1", "2 two 1", weights="")
