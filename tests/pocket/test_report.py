"""The README's numbers are those that were measured."""

from __future__ import annotations

import json

import pytest

from lib_ipadapter.model.variant import Kind
from pocket import halves, layer_report, plots, report, ship, sweep
from pocket.questions import SCALES, tasks
from pocket.scenes import SAID
from pocket.studio import KINDS

SHARES = dict.fromkeys((*SAID, "together"), 0.5)


@pytest.fixture
def numbers() -> dict:
    return json.loads(plots.RESULTS.read_text(encoding="utf-8"))


def test_the_readme_shows_what_was_measured(numbers: dict) -> None:
    readme = report.README.read_text(encoding="utf-8")
    assert report.table(numbers) in readme
    assert report.written(readme, numbers) == readme


def test_it_was_measured_with_the_weights_that_ship(numbers: dict) -> None:
    assert numbers["weights"] == ship.contents(*KINDS)


MISSED = {
    "the left half by a picture, the right by the text, plus, scale 0.75: colour and texture of both",
}
"""What the README says of below its table."""


def test_one_goal_is_missed_as_the_readme_says(numbers: dict) -> None:
    asked = [row for row in report.rows(numbers) if row.goal]
    assert len(asked) == 7
    assert {row.given for row in asked if not reached(row)} == MISSED
    assert "One goal is missed:" in report.README.read_text(encoding="utf-8")


def reached(row: report.Row) -> bool:
    words, _, least = row.goal.rpartition(" ")
    share = min(row.shares[name] for name in SAID) if words == "each" else row.shares["together"]
    return share >= float(least.removesuffix("%")) / 100


def test_the_layers_page_shows_the_sweep_of_the_weights_that_ship() -> None:
    found = json.loads(sweep.SWEEP.read_text(encoding="utf-8"))
    assert found["weights"] == ship.contents(Kind.BASE)
    page = layer_report.PAGE.read_text(encoding="utf-8")
    assert layer_report.measured(found) in page
    assert layer_report.written(page, found) == page


def test_the_table_says_how_many_pictures_a_share_is_of(numbers: dict) -> None:
    drawn = [task.group for task in tasks(6)]
    assert {drawn.count(right.value) for right in halves.Right} == {3}
    assert "Over 6 references, in halves over 3 pairs of them;" in report.table({**numbers, "references": 6})


def test_all_that_is_promised_was_measured(numbers: dict) -> None:
    assert numbers["references"] >= 200
    assert min(numbers["judge"].values()) >= 0.98
    kinds = [kind.value for kind in KINDS]
    assert list(numbers["image alone"]) == kinds
    assert {kind: list(scales) for kind, scales in numbers["text and image"].items()} == {
        kind: [f"{scale:g}" for scale in SCALES] for kind in kinds
    }


def test_the_best_scale_is_the_lowest_of_the_best() -> None:
    scales = {"0.4": SHARES, "0.6": SHARES | {"together": 0.9}, "0.8": SHARES | {"together": 0.9}}
    assert report.best_scale(scales) == "0.6"


def test_only_what_is_between_the_marks_is_written_anew(numbers: dict) -> None:
    before, after = f"before\n{report.PLACE.begin}\n", f"\n{report.PLACE.end}\nafter"
    assert report.written(f"{before}old{after}", numbers) == f"{before}{report.table(numbers)}{after}"
