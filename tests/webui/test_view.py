"""The view of what the encoder sees is asked for in a browser, as often as it must be and no more."""

from __future__ import annotations

from typing import Any

import pytest

SERVER = """() => {
    window.asked = 0;
    const again = document.getElementById("ip_adapter_txt2img_unit_1_view_again");
    // As gradio does: what is clicked while an answer is outstanding is dropped.
    again.onclick = () => {
        if (window.isPending) return;
        window.isPending = true;
        window.asked += 1;
        ipAdapter.view.send("ip_adapter_txt2img_unit_1");
    };
    window.change = () => ipAdapter.view.ask("ip_adapter_txt2img_unit_1");
    window.answer = () => { window.isPending = false; ipAdapter.view.end("ip_adapter_txt2img_unit_1"); };
}"""


@pytest.fixture
def unit(page: Any) -> Any:
    """The page, where `change()` is a change in a unit and `answer()` the server's; `asked` counts."""
    page.evaluate(SERVER)
    return page


def after(page: Any, script: str) -> int:
    """How often the server has been asked in all, once `script` has had its effect."""
    return page.evaluate(f"async () => {{ {script}; await new Promise(done => setTimeout(done, 50)); return asked; }}")


def test_what_changes_while_a_view_is_made_is_asked_for_when_that_is_there(unit: Any) -> None:
    assert after(unit, "change()") == 1
    assert after(unit, "change()") == 1
    assert after(unit, "answer()") == 2
    assert after(unit, "answer()") == 2


def test_what_changes_at_once_is_asked_for_once(unit: Any) -> None:
    assert after(unit, "change(); change(); change()") == 1
    assert after(unit, "answer()") == 1


def test_a_sketchs_picture_that_is_taken_away_is_seen(unit: Any) -> None:
    """Of which gradio 3 says nothing."""
    from tests.webui.scripts_page import field

    field(unit, "image_mask").evaluate("field => field.append(new Image())")
    assert after(unit, "change()") == 1
    assert after(unit, "answer()") == 1
    field(unit, "image_mask").locator("img").evaluate("image => image.remove()")
    unit.wait_for_function("asked === 2")


def test_further_pictures_are_asked_for_like_the_rest(unit: Any) -> None:
    from tests.webui.test_further import unfold, upload

    unfold(unit)
    upload(unit, "red")
    unit.wait_for_function("asked === 1")
    upload(unit, "red", "green")
    unit.locator(".ip-adapter-further [role=listitem]").nth(1).wait_for()
    assert after(unit, "answer()") == 2
