"""The lists in the page: which encoders stand beside a model, and what a refresh leaves as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib_ipadapter.webui import refresh
from lib_ipadapter.webui.lists import Lists

ENCODERS = {"None": ["h", "bigg"], "base": ["h"], "sdxl [does not fit: too wide]": ["bigg"]}
LISTS = Lists(
    models=lambda: list(ENCODERS),
    resolve=lambda name: name,
    encoders=lambda model: ENCODERS[model],
    faces=lambda: ["None"],
    prompts=lambda: ["None"],
)


@pytest.mark.parametrize(
    ("model", "encoder", "choices", "value"),
    [
        ("base", "h", ["Automatic", "h"], None),
        ("base", "bigg", ["Automatic", "h"], "Automatic"),
        ("sdxl [does not fit: too wide]", "h", ["Automatic", "bigg"], "Automatic"),
        ("None", "bigg", ["Automatic", "h", "bigg"], None),
        ("base", "pasted, not here", ["Automatic", "h"], None),
        ("base", "Automatic", ["Automatic", "h"], None),
        (None, None, ["Automatic", "h", "bigg"], None),
    ],
)
def test_an_encoder_that_does_not_fit_the_model_cannot_stay_chosen(
    model: str | None, encoder: str | None, choices: list[str], value: str | None
) -> None:
    update = refresh.encoders_beside(LISTS, model, encoder)
    assert update["choices"] == choices
    assert update.get("value") == value


def test_a_refresh_gives_each_unit_the_encoders_of_its_model_and_changes_no_choice() -> None:
    updates = refresh.updates(2, LISTS)("base", "sdxl [does not fit: too wide]")
    place = [field.name for field in refresh.LISTED].index("encoder")
    own = [updates[unit * len(refresh.LISTED) + place] for unit in (0, 1)]
    assert [update["choices"] for update in own] == [["Automatic", "h"], ["Automatic", "bigg"]]
    assert not any("value" in update for update in updates)


def test_where_no_model_is_chosen_none_is_looked_for() -> None:
    asked: list[str] = []
    refresh.updates(2, replace(LISTS, resolve=lambda name: asked.append(name) or name))("None", "base")
    assert asked == ["base"]


def test_a_refresh_looks_once_for_each_model() -> None:
    asked: list[str] = []
    lists = replace(LISTS, encoders=lambda model: asked.append(model) or ENCODERS[model])
    refresh.updates(3, lists)("base", "base", "None")
    assert asked == ["base", "None"]
