"""Curves and grids are drawn in a browser, and each text that comes of it is one that a job takes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.webui.scripts_page import drawn, field, text, type_into, unfold


def press(where: Any, *keys: str) -> None:
    """Keys, one after another, at what has the focus by then: some lead on to another place."""
    where.focus()
    for key in keys:
        where.page.keyboard.press(key)


def test_a_curve_is_drawn_by_keys(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0:1, 0.5:0.3, 1:0")
    points = field(page, "curve").locator("circle")
    assert points.count() == 3
    press(points.nth(1), "ArrowUp", "ArrowRight", "ArrowRight")
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


def hold(page: Any, number: int) -> tuple[float, float]:
    """Presses the mouse on a point of the curve, 1 and up; gives the place."""
    dot = field(page, "curve").locator("circle").nth(number - 1).bounding_box()
    x, y = dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    return x, y


def test_a_point_is_dragged_beyond_the_drawing_and_stays_under_the_pointer(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0:1, 0.5:0.5, 1:0")
    field(page, "curve").locator("svg").scroll_into_view_if_needed()
    x, y = hold(page, 2)
    whole = field(page, "curve").locator("svg").bounding_box()["height"]
    edge, height = whole * 12 / 120, whole * 96 / 120  # the second of a weight of 1
    for weight, more in [(1, 0), (1.5, edge), (2, edge), (0.5, 0), (-1, -edge), (1.5, edge)]:
        page.mouse.move(x, y - (weight - 0.5) * height - more, steps=3)
        assert drawn(page, "curve") == f"0:1, 0.5:{weight}, 1:0"
    page.mouse.up()
    dot = field(page, "curve").locator("circle").nth(1).bounding_box()
    box = field(page, "curve").locator("svg").bounding_box()
    assert box["y"] <= dot["y"] <= box["y"] + box["height"], "the drawing shows all of it again"


def test_two_clicks_on_a_point_add_none(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0:1, 0.5:0.5, 1:0")
    field(page, "curve").locator("circle").nth(1).dblclick()
    assert drawn(page, "curve") == "0:1, 0.5:0.5, 1:0"


def test_keys_lead_below_zero(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0:0.05, 1:1")
    press(field(page, "curve").locator("circle").first, *["ArrowDown"] * 2)
    assert drawn(page, "curve") == "0:-0.05, 1:1"


def test_points_do_not_pass_each_other(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0.4:1, 0.45:0")
    press(field(page, "curve").locator("circle").first, *["ArrowRight"] * 4)
    assert drawn(page, "curve") == "0.45:1, 0.45:0"


def test_what_is_not_moved_keeps_its_digits(page: Any) -> None:
    unfold(page)
    type_into(page, "curve", "0.125:0.333, 0.5:1, 0.875:0.001")
    press(field(page, "curve").locator("circle").nth(1), "ArrowDown")
    assert drawn(page, "curve") == "0.125:0.333, 0.5:0.95, 0.875:0.001"


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
            place.click(force=True)
        assert field(page, name).locator("polyline").count() == 0, "a line would say what is not so"
        for number in field(page, name).locator("input[type=number]").all()[1:]:
            number.fill("4")
            number.press("Tab")
        assert text(page, name) == foreign


@pytest.mark.parametrize(("name", "least"), [("curve", "0:4.98"), ("grid", "4.98 1")])
def test_no_key_leads_past_what_a_job_takes(page: Any, name: str, least: str) -> None:
    unfold(page)
    type_into(page, name, least)
    press(field(page, name).locator("circle, [role=gridcell]").first, *["ArrowUp" if name == "curve" else "+"] * 2)
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
    press(cells.first, "ArrowRight", "ArrowDown", "+", "+", "ArrowLeft", "ArrowUp", "Enter")
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


def test_the_right_mouse_button_paints_nothing(page: Any) -> None:
    unfold(page)
    type_into(page, "grid", "1, 1, 1; 1, 1, 1")
    field(page, "grid").locator("[role=gridcell]").first.click(button="right")
    assert drawn(page, "grid") == "1, 1, 1; 1, 1, 1"


FINGER = """(cell, moves) => {
    const box = cell.getBoundingClientRect(), at = {x: box.x + 3, y: box.y + 3};
    for (const [name, x, y] of moves) {
        cell.dispatchEvent(new PointerEvent(name, {
            bubbles: true, cancelable: true, pointerId: 7, pointerType: "touch", button: 0,
            clientX: at.x + (x < 1000 ? x : box.width), clientY: at.y + y,
        }));
        if (!cell.isConnected) cell = document.body;
    }
}"""
ACROSS = 1000  # as much as a cell is wide
FINGERS = {
    "up and down moves the page": ([("pointermove", 1, 9), ("pointercancel", 1, 9)], "1, 1; 1, 1"),
    "a tap": ([("pointerup", 0, 0)], "0, 1; 1, 1"),
    "a wipe": ([("pointermove", 12, 0), ("pointerup", 12, 0)], "0, 1; 1, 1"),
    "a long wipe": ([("pointermove", ACROSS, 0), ("pointerup", ACROSS, 0)], "0, 0; 1, 1"),
    "another finger": ([("pointermove", 1, 9), ("pointercancel", 1, 9), ("pointermove", 40, 0)], "1, 1; 1, 1"),
}


@pytest.mark.parametrize("name", FINGERS)
def test_a_finger_paints_only_where_it_means_to(name: str, page: Any) -> None:
    moves, painted = FINGERS[name]
    unfold(page)
    type_into(page, "grid", "1, 1; 1, 1")
    field(page, "grid").scroll_into_view_if_needed()
    field(page, "grid").locator("[role=gridcell]").first.evaluate(FINGER, [("pointerdown", 0, 0), *moves])
    assert drawn(page, "grid") == painted


def test_a_grid_is_stretched_to_other_numbers(page: Any) -> None:
    unfold(page)
    type_into(page, "grid", "1 0")
    for label, number in (("Rows of layers", "2"), ("Parts of the steps", "4")):
        field(page, "grid").get_by_label(label).fill(number)
        field(page, "grid").get_by_label(label).press("Tab")
    assert drawn(page, "grid") == "1, 1, 0, 0; 1, 1, 0, 0"
