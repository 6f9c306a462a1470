"""The row of a unit's presets in the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest

from lib_ipadapter.session.presets import SAVED, Presets
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import panel, presets, refresh
from lib_ipadapter.webui.presets import PresetButtons
from tests.webui.panels import LISTS, nowhere


@pytest.fixture
def row(tmp_path: Path) -> PresetButtons:
    return PresetButtons(Presets(tmp_path), LISTS)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page shows in its corner."""
    sentences: list[str] = []
    for how in ("Info", "Warning"):
        monkeypatch.setattr(presets.gr, how, sentences.append)
    return sentences


def on_page(unit: Unit) -> dict[str, object]:
    """What the components hold."""
    return {f.name: "None" if f.name == "face" else getattr(unit, f.name) for f in SAVED}


def test_what_was_saved_is_set_again(row: PresetButtons, said: list[str]) -> None:
    unit = Unit(model="ip-adapter_sd15", scale=0.8, end=0.5, crop="pad", background="#010203")
    assert row.save("mine", *on_page(unit).values())["choices"] == ["mine"]
    loaded = dict(zip([f.name for f in SAVED], row.load("mine"), strict=True))
    wanted = on_page(unit) | {"encoder": "Automatic", "embeds": "None", "reference_folder": "None"}
    assert {name: update["value"] for name, update in loaded.items()} == wanted
    assert said == ["IP-Adapter: the preset 'mine' is saved."]
    row.save("mine", *on_page(unit).values())
    assert said[1:] == ["IP-Adapter: the preset 'mine' is saved, in place of the one of that name."]


def test_what_goes_wrong_is_said_and_changes_nothing(row: PresetButtons, said: list[str]) -> None:
    assert all("value" not in update for update in row.load("nothing"))
    row.save("", *on_page(Unit()).values())
    row.delete("nothing")
    assert [any(word in sentence for word in ("no preset", "needs a name")) for sentence in said] == [True] * 3
    assert row.presets.names() == []


def test_a_model_that_is_not_here_is_left_and_said(row: PresetButtons, said: list[str]) -> None:
    row.presets.save("other", Unit(model="gone", scale=0.3))
    loaded = dict(zip([f.name for f in SAVED], row.load("other"), strict=True))
    assert "value" not in loaded["model"]
    assert loaded["scale"]["value"] == 0.3
    assert "no model 'gone' here" in said[0]


def test_without_a_name_each_button_says_so(row: PresetButtons, said: list[str]) -> None:
    """Gradio 3 gives None where nothing is chosen."""
    row.load(None)
    row.save(None, *[None] * len(SAVED))
    row.delete(None)
    assert len(said) == 3


def test_deleting_empties_the_list(row: PresetButtons, said: list[str]) -> None:
    row.presets.save("mine", Unit())
    update = row.delete("mine")
    assert (update["choices"], update["value"]) == ([], "")


def test_the_files_are_read_once_for_all_units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Presets] = []
    monkeypatch.setattr(Presets, "names", lambda self: asked.append(self) or ["mine"])
    with gr.Blocks() as blocks:
        panel.build("txt2img", 3, replace(LISTS, presets=Presets(tmp_path)), nowhere)
    rows = [block for block in blocks.blocks.values() if str(getattr(block, "elem_id", "")).endswith("_preset")]
    assert [row.choices for row in rows] in ([["mine"]] * 3, [[("mine", "mine")]] * 3)
    assert len(asked) == 1


def test_each_unit_has_a_row_where_there_is_a_place_for_presets(tmp_path: Path) -> None:
    for lists, rows in ((LISTS, 0), (replace(LISTS, presets=Presets(tmp_path)), 2)):
        with gr.Blocks() as blocks:
            panel.build("txt2img", 2, lists, nowhere)
        ids = [str(getattr(block, "elem_id", "")) for block in blocks.blocks.values()]
        assert sum(one.endswith("_preset_load") for one in ids) == rows


@pytest.mark.parametrize("units", [1, 3])
def test_what_is_saved_or_deleted_is_so_in_the_lists_of_all_units(units: int, tmp_path: Path) -> None:
    """Buttons that refresh lists too: a page that is loaded anew presses one."""
    with gr.Blocks() as blocks:
        panel.build("txt2img", units, replace(LISTS, presets=Presets(tmp_path)), nowhere)
    config = blocks.get_config_file()
    ids = {c["id"]: str(c["props"].get("elem_id")) for c in config["components"]}
    wanted = {f"ip_adapter_txt2img_unit_{n}_preset" for n in range(1, units + 1)}
    told = [d for d in config["dependencies"] if wanted <= {ids.get(o) for o in d["outputs"]}]
    refreshes = [one for one in ids.values() if one.endswith("_refresh")]
    assert len(told) >= 2 * units + len(refreshes)


def test_the_presets_that_there_are_now_are_given_to_each_list(row: PresetButtons, said: list[str]) -> None:
    row.presets.save("mine", Unit())
    assert [update["choices"] for update in row.listed([None] * 3)] == [["mine"]] * 3
    assert row.listed([None])["choices"] == ["mine"]
    lists = replace(LISTS, presets=row.presets)
    assert [update["choices"] for update in refresh.updates(2, lists)("a", "b")[-2:]] == [["mine"]] * 2
