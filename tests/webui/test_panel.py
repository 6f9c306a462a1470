"""The panel, built with whichever gradio is installed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
import pytest

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.face import Face
from lib_ipadapter.session.unit.field import Type, fields_of
from lib_ipadapter.webui import panel, saved_prompts
from lib_ipadapter.webui.controls import UnitControls
from tests.webui.panels import DEFAULTS, LISTS, functions_of, nowhere


def test_the_components_come_in_the_order_of_the_fields_unit_by_unit(controls: list[UnitControls]) -> None:
    ids = [component.elem_id for component in panel.components(controls)]
    assert ids == [f"ip_adapter_txt2img_unit_{n}_{f.name}" for n in (1, 2, 3) for f in FIELDS]


def test_every_default_is_the_fields_default_but_units_start_disabled(controls: list[UnitControls]) -> None:
    values = {name: component.value for name, component in controls[0].fields.items()}
    assert values == DEFAULTS | {"enabled": False}


def test_slider_defaults_are_floats_because_the_api_casts_to_their_type(controls: list[UnitControls]) -> None:
    sliders = [c for c in panel.components(controls) if isinstance(c, gr.Slider)]
    numbers = [field for field in FIELDS if field.type in (Type.NUMBER, Type.INTEGER)]
    assert len(sliders) == 3 * len(numbers)
    assert all(type(slider.value) is float for slider in sliders)


def test_what_units_share_by_label_is_not_saved_as_a_default(controls: list[UnitControls]) -> None:
    saved = [c.elem_id for c in panel.components(controls) if not c.do_not_save_to_config]
    of_files = (Type.MODEL, Type.ENCODER, Type.FACE, Type.WEIGHTS, Type.EMBEDS, Type.FOLDER)
    names = [f.name for f in FIELDS if f.type not in of_files and f.name not in ("enabled", "kind")]
    assert saved == [f"ip_adapter_txt2img_unit_1_{name}" for name in names]


def test_one_unit_has_no_tabs() -> None:
    with gr.Blocks() as blocks:
        panel.build("img2img", 1, LISTS, nowhere)
    assert not any(isinstance(block, gr.Tabs) for block in blocks.blocks.values())


def test_a_field_that_stands_alone_costs_the_page_no_row() -> None:
    """Whatever is in the page must be drawn before it can be used, in each unit of both tabs."""
    with gr.Blocks() as page:
        panel.build("txt2img", 1, LISTS, nowhere)
    rows = [block for block in page.blocks.values() if isinstance(block, gr.Row)]
    alone = [row for row in rows if len([*_leaves(row)]) == 1]
    assert [leaf.elem_id for row in alone for leaf in _leaves(row)] == ["ip_adapter_txt2img_unit_1_images"]


def _leaves(block: Any) -> Iterator[Any]:
    for child in block.children:
        yield from _leaves(child) if hasattr(child, "children") else (child,)


def test_the_face_fields_are_folded_away_together(controls: list[UnitControls]) -> None:
    for number, unit in enumerate(controls, 1):
        for name in (field.name for field in fields_of(Face)):
            block = unit.fields[name]
            while not isinstance(block, gr.Accordion):
                block = block.parent
            assert (block.elem_id, block.open) == (f"ip_adapter_txt2img_unit_{number}_face_panel", False)


def test_saving_tells_the_name_and_what_is_wrong_is_said_in_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(saved_prompts.gr, "Info", said.append)
    monkeypatch.setattr(saved_prompts.gr, "Warning", said.append)

    def save(name: str, values: Sequence[object]) -> list[str]:
        if not name:
            raise UnitError("without a name.")
        return ["None", name, f"{len(values)} values"]

    with gr.Blocks() as blocks:
        panel.build("txt2img", 1, dataclasses.replace(LISTS, save_prompt=save), nowhere)
    click = next(f.fn for f in functions_of(blocks) if getattr(f.fn, "__name__", "") == "click")
    values = [None] * len(FIELDS)
    assert click("dusk", *values)["choices"] == ["None", "dusk", f"{len(FIELDS)} values"]
    click("", *values)
    assert ["'dusk'" in said[0] or "dusk is saved" in said[0], said[1]] == [True, "without a name."]


@pytest.mark.parametrize("units", [1, 3])
def test_an_image_prompt_that_is_saved_is_in_the_lists_of_all_units(
    units: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saved_prompts.gr, "Info", str)
    lists = dataclasses.replace(LISTS, save_prompt=lambda name, _: ["None", name])
    with gr.Blocks() as blocks:
        panel.build("txt2img", units, lists, nowhere)
    clicks = [one for one in blocks.get_config_file()["dependencies"] if len(one["inputs"]) == 1 + len(FIELDS)]
    ids = {c["id"]: c["props"].get("elem_id") for c in blocks.get_config_file()["components"]}
    saves = [one for one in clicks if ids[one["inputs"][0]].endswith("_save_name")]
    wanted = [f"ip_adapter_txt2img_unit_{number}_embeds" for number in range(1, units + 1)]
    assert [[ids[output] for output in one["outputs"]] for one in saves] == [wanted] * units
    click = next(f.fn for f in functions_of(blocks) if getattr(f.fn, "__name__", "") == "click")
    found = click("dusk", *[None] * len(FIELDS))
    assert [one["choices"] for one in (found if units > 1 else [found])] == [["None", "dusk"]] * units


def test_the_page_unloads_as_its_host_says(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(panel.gr, "Info", said.append)
    with gr.Blocks() as blocks:
        panel.build("txt2img", 1, LISTS, nowhere, unload=lambda: "when its turn has come")
    for function in functions_of(blocks):
        if getattr(function.fn, "__qualname__", "").startswith("_buttons.") and not function.inputs:
            function.fn()
    assert "when its turn has come" in said


def test_both_tabs_have_every_component_under_a_name_of_their_own() -> None:
    """The WebUI makes both in one page, where a name that stands twice would move the other tab's."""
    with gr.Blocks() as blocks:
        for tab in ("txt2img", "img2img"):
            panel.build(tab, 3, LISTS, nowhere)
    ids = [block.elem_id for block in blocks.blocks.values() if getattr(block, "elem_id", None)]
    assert len(ids) == len(set(ids))
    one, other = ({i.replace(tab, "") for i in ids if tab in i} for tab in ("txt2img", "img2img"))
    assert one == other
    assert {"ip_adapter__get_start", "ip_adapter__get_cancel", "ip_adapter__unload"} <= one
