"""The plots show what was logged and measured, and a stage that left no log keeps the curve that is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pocket import plots
from pocket.adapters import ROUNDS
from pocket.plots import STAGES

ROUND_NAMES = [*ROUNDS]


def log(path: Path, value: str, count: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"step": n, value: 1 / (n + 1), "other": 5}) + "\n" for n in range(count)))


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The curves that lie beside the weights."""
    curves = {name: [[0, 1], [2.0, 1.0]] for name in (*(stage for _, stage, _, _ in STAGES), *ROUND_NAMES)}
    monkeypatch.setattr(plots, "CURVES", tmp_path / "curves.json")
    plots.CURVES.write_text(json.dumps(curves))
    return curves


def test_a_new_log_replaces_the_known_curve_and_the_others_stay(known: dict[str, Any], tmp_path: Path) -> None:
    part, stage, value, _ = STAGES[0]
    log(tmp_path / "work" / stage, value, 3)
    log(tmp_path / "work" / ROUND_NAMES[0] / "metrics.jsonl", plots.GAP, 2)
    log(tmp_path / "work" / STAGES[1][1], "half done", 2)
    plots.write_curves(tmp_path / "work", [part, ROUND_NAMES[0]])
    found = json.loads(plots.CURVES.read_text())
    assert found == known | {stage: [[0, 1, 2], [1.0, 0.5, 0.33333]], ROUND_NAMES[0]: [[0, 1], [1.0, 0.5]]}


def test_a_stage_that_never_ran_has_no_curve_yet(known: dict[str, Any], tmp_path: Path) -> None:
    plots.CURVES.write_text("{}")
    log(tmp_path / "work" / ROUND_NAMES[0] / "metrics.jsonl", plots.GAP, 2)
    assert list(plots.collect(tmp_path / "work", ROUND_NAMES[:1])) == [ROUND_NAMES[0]]


def test_a_long_log_is_thinned_to_what_a_picture_can_show(known: dict[str, Any], tmp_path: Path) -> None:
    part, stage, value, _ = STAGES[0]
    log(tmp_path / "work" / stage, value, 1000)
    steps, values = plots.collect(tmp_path / "work", [part])[stage]
    assert 80 <= len(steps) == len(values) <= 160
    assert (steps[0], values[0]) == (0, 1.0)
    assert sorted(steps) == steps


def test_every_stage_and_every_round_has_its_line(known: dict[str, Any]) -> None:
    figure = plots.training(known)
    drawn = [line.get_ydata().tolist() for axes in figure.axes for line in axes.lines]
    assert drawn == [[2.0, 1.0]] * (len(STAGES) + len(ROUND_NAMES))
    legends = [text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().get_texts()]
    assert legends == ROUND_NAMES


def test_the_scale_plot_shows_the_measured_shares_in_percent() -> None:
    shares = {"shape": 0.9, "colour": 0.8, "texture": 0.7, "together": 0.6}
    results = {"text and image": {"base": {"0.5": shares, "1": shares}, "plus": {"0.5": shares, "1": shares}}}
    panels = plots.scale(results).axes
    assert len(panels) == 2
    for panel in panels:
        assert [line.get_xdata().tolist() for line in panel.lines] == [[0.5, 1.0]] * 4
        assert [round(line.get_ydata()[0]) for line in panel.lines] == [90, 80, 70, 60]


def test_the_curves_that_ship_are_those_of_all_stages_and_rounds() -> None:
    shipped = json.loads(plots.CURVES.read_text(encoding="utf-8"))
    assert set(shipped) == {*(stage for _, stage, _, _ in STAGES), *ROUNDS}
    assert all(len(steps) == len(values) > 1 for steps, values in shipped.values())
