"""Axes of the X/Y/Z plot: one for each field of each unit that is worth a grid, checked before the grid begins."""

from __future__ import annotations

import copy
import importlib
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.external import get_units
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.unit import FIELDS
from tests.models import save_adapter, tiny_adapter
from tests.webui.fake_host import FakeJob, FakeWebUI
from tests.webui.test_api import DISABLED, PAGE_UNIT, unit


@dataclass
class AxisOption:
    """As the WebUI's scripts/xyz_grid.py has it, as far as it is used here."""

    label: str
    type: Any
    apply: Any
    confirm: Any = None
    cost: float = 0.0
    choices: Any = None


class Grid:
    """The loaded script, as the WebUI lists it, and the folder of reference pictures."""

    def __init__(self, axes: Any, folder: Path) -> None:
        self.axes, self.folder = axes, folder
        self.module = SimpleNamespace(AxisOption=AxisOption, axis_options=[AxisOption("Nothing", str, None)])
        data = [SimpleNamespace(path="/webui/scripts/xyz_grid.py", module=self.module)]
        axes.scripts.scripts_data[:] = [SimpleNamespace(path="/webui/scripts/loopback.py", module=object()), *data]
        axes.register()

    def __getitem__(self, label: str) -> AxisOption:
        return next(option for option in self.module.axis_options if option.label == f"[IP-Adapter] {label}")


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Grid:
    for name in ("one", "two, or: 2"):
        save_adapter(tiny_adapter(Kind.BASE), tmp_path / f"models/ip-adapter/{name}.safetensors")
    references = tmp_path / "references"
    (references / "sub").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(references / "red.png")
    Image.new("RGB", (8, 8), "blue").save(references / "sub" / "blue.webp", lossless=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "secret.png")
    webui = FakeWebUI(tmp_path)
    webui.opts.data |= {"ip_adapter_units": 2, "ip_adapter_reference_folder": str(references)}
    webui.install(monkeypatch)
    LIBRARY.unload()
    return Grid(importlib.import_module("lib_ipadapter.webui.axes"), tmp_path)


def page_job() -> FakeJob:
    """With a mask that was drawn in gradio 3, which is a mapping as the API's units are."""
    drawn = {"image": Image.new("RGB", (8, 8)), "mask": Image.new("L", (8, 8), 255)}
    mask = next(position for position, field in enumerate(FIELDS) if field.name == "mask")
    return FakeJob(*PAGE_UNIT[:mask], drawn, *PAGE_UNIT[mask + 1 :], *DISABLED)


def api_job() -> FakeJob:
    return FakeJob(unit(), *[None] * (2 * len(FIELDS) - 1))


def test_each_unit_has_an_axis_for_each_field_that_is_worth_one(grid: Grid) -> None:
    labels = [option.label for option in grid.module.axis_options]
    fields = [field.label for field in FIELDS if field.axis]
    wanted = [f"[IP-Adapter] Unit {n} {label}" for n in (1, 2) for label in (*fields, "Reference file")]
    assert labels == ["Nothing", *wanted]
    assert {"Model", "Scale", "Start", "End", "Weight type"} <= set(fields)


def test_registering_again_changes_nothing_and_a_script_that_is_loaded_anew_gets_its_own(grid: Grid) -> None:
    once = list(grid.module.axis_options)
    grid.axes.register()
    assert grid.module.axis_options == once
    grid.module.axis_options[:] = once[:1]
    grid.axes.register()
    assert [option.label for option in grid.module.axis_options] == [option.label for option in once]


def test_without_the_script_there_is_nothing_to_register(grid: Grid) -> None:
    grid.axes.scripts.scripts_data.clear()
    grid.axes.register()


@pytest.mark.parametrize("job", [page_job, api_job])
@pytest.mark.parametrize(
    ("label", "value", "name"),
    [
        ("Scale", 0.25, "scale"),
        ("Start", 0.1, "start"),
        ("End", 0.7, "end"),
        ("Model", "two, or: 2", "model"),
        ("Crop", "pad", "crop"),
    ],
)
def test_a_cell_gets_its_value_and_no_other_cell_does(grid: Grid, job: Any, label: str, value: Any, name: str) -> None:
    one = job()
    before = get_units(one)
    cell = copy.copy(one)
    option = grid[f"Unit 1 {label}"]
    option.confirm(cell, [option.type(value)])
    option.apply(cell, option.type(value), [value])
    after = get_units(cell)
    assert getattr(after[0], name) == value != getattr(before[0], name)
    assert [u.order for u in after[1:]] == [u.order for u in before[1:]]
    assert [u.order for u in get_units(one)] == [u.order for u in before]


@pytest.mark.parametrize("job", [page_job, api_job])
def test_a_reference_is_taken_by_name_from_the_folder_that_is_set(grid: Grid, job: Any) -> None:
    option, cell = grid["Unit 1 Reference file"], job()
    assert option.choices() == ["red", "sub/blue"]
    option.confirm(cell, ["red.png", "sub/blue"])
    option.apply(cell, "sub/blue", [])
    assert get_units(cell)[0].image.getpixel((0, 0)) == (0, 0, 255)


@pytest.mark.parametrize(
    "name", ["../secret.png", "secret", "{folder}/secret.png", "/etc/passwd", "", "https://a.b/c.png"]
)
def test_no_other_file_can_be_asked_for(grid: Grid, name: str) -> None:
    wanted = name.format(folder=grid.folder)
    option, cell = grid["Unit 1 Reference file"], api_job()
    with pytest.raises(Exception, match="no reference picture called") as refused:
        option.confirm(cell, [wanted])
    assert str(grid.folder) not in str(refused.value).replace(repr(wanted[:80]), "")
    with pytest.raises(Exception, match="no reference picture called"):
        option.apply(cell, wanted, [])


def test_a_link_that_leads_out_of_the_folder_is_not_followed(grid: Grid) -> None:
    references = grid.folder / "references"
    (references / "way out").symlink_to(grid.folder)
    (references / "out.png").symlink_to(grid.folder / "secret.png")
    (references / "same.png").symlink_to(references / "red.png")
    option = grid["Unit 1 Reference file"]
    assert option.choices() == ["red", "same", "sub/blue"]
    for name in ("out", "way out/secret"):
        with pytest.raises(Exception, match="no reference picture called"):
            option.confirm(api_job(), [name])


def test_without_a_folder_the_sentence_says_where_to_set_one(grid: Grid) -> None:
    grid.axes.settings.shared.opts.data["ip_adapter_reference_folder"] = ""
    assert grid["Unit 1 Reference file"].choices() == []
    with pytest.raises(Exception, match="set one in Settings > IP-Adapter"):
        grid["Unit 1 Reference file"].confirm(page_job(), ["red"])


@pytest.mark.parametrize(
    ("label", "values", "said"),
    [
        ("Scale", [0.5, 9.0], "scale must be a number from 0 to 2"),
        ("Model", ["one", "three"], "no IP-Adapter model called 'three'"),
        ("Model", ["None"], "no IP-Adapter model"),
        ("Crop", ["center", "middle"], "crop must be one of"),
    ],
)
def test_a_wrong_value_stops_the_grid_before_it_begins(grid: Grid, label: str, values: list[Any], said: str) -> None:
    with pytest.raises(grid.axes.IPAdapterStopped, match=said) as stopped:
        grid[f"Unit 1 {label}"].confirm(page_job(), values)
    assert stopped.value.status_code == 422


@pytest.mark.parametrize(
    ("label", "start", "end", "step"),
    [("End", 0.2, 1.0, 0.1), ("Start", 0.5, 1.0, 0.1), ("Scale", 0.2, 2.0, 0.1), ("Sharpening", 0.8, 1.0, 0.05)],
)
def test_a_range_up_to_the_largest_value_is_taken_as_it_was_meant(
    grid: Grid, label: str, start: float, end: float, step: float
) -> None:
    values = np.arange(start, end + step, step).tolist()  # as the WebUI does for "0.2-1 (+0.1)"
    assert max(values) > end
    grid[f"Unit 1 {label}"].confirm(page_job(), values)
    assert values == pytest.approx([start + step * n for n in range(round((end - start) / step) + 1)])
    assert all(len(str(value)) <= 4 for value in values), "as a legend shows them"


@pytest.mark.parametrize(
    ("number", "job", "said"),
    [(2, page_job, "unit 2 of this grid's axis is off"), (2, api_job, "no IP-Adapter unit 2")],
)
def test_a_unit_that_is_off_or_not_there_stops_the_grid(grid: Grid, number: int, job: Any, said: str) -> None:
    with pytest.raises(grid.axes.IPAdapterStopped, match=said):
        grid[f"Unit {number} Scale"].confirm(job(), [0.5])


def test_models_are_offered_by_the_names_of_their_files(grid: Grid) -> None:
    assert grid["Unit 1 Model"].choices() == ["one", "two, or: 2"]
    assert grid["Unit 1 Model"].cost > 0
