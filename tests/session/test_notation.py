"""Curves, layers and grids as text, and as an API sends them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.notation import read_curve, read_grid, read_layers

NUMBER = st.floats(-5, 5)
FRACTION = st.floats(0, 1)


def levels(text: str, steps: int = 10) -> list[float]:
    curve = read_curve(text)
    return [curve.at(step / steps) for step in range(steps)]


def test_points_are_what_they_say() -> None:
    assert read_curve("0:1, 0.5:0.3,1 : 0").points == ((0.0, 1.0), (0.5, 0.3), (1.0, 0.0))
    assert levels("0.7") == [0.7] * 10
    assert levels("") == [1.0] * 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[0.3:0.9:0.5]", [0.3] * 5 + [0.9] * 5),
        ("[0.9:0.5]", [0.0] * 5 + [0.9] * 5),
        ("[0.9::0.5]", [0.9] * 5 + [0.0] * 5),
        ("[:0.9:0.5]", [0.0] * 5 + [0.9] * 5),
        ("[[0.3:0.6:0.2]:0.9:0.5]", [0.3] * 2 + [0.6] * 3 + [0.9] * 5),
        ("[0.3:[0.6:0.9:0.8]:0.5]", [0.3] * 5 + [0.6] * 3 + [0.9] * 2),
        ("[0.3:[0.6:0.9:0.2]:0.5]", [0.3] * 5 + [0.9] * 5),
        ("[[0.3:0.6:0.8]:0.9:0.5]", [0.3] * 5 + [0.9] * 5),
        ("[0.3:0.9:0]", [0.9] * 10),
    ],
)
def test_brackets_change_over_as_in_a_prompt(text: str, expected: list[float]) -> None:
    assert levels(text) == expected


def test_layers_are_some_by_number_or_all_of_them() -> None:
    assert read_layers("0:1, 4:0.25, 5:-1") == {0: 1.0, 4: 0.25, 5: -1.0}
    assert read_layers(", ".join(["0.5"] * 11)) == (0.5,) * 11
    assert not read_layers("")


def test_a_grid_has_rows_and_columns() -> None:
    assert read_grid("1, 0; 0.5,1;2").rows == ((1.0, 0.0), (0.5, 1.0), (2.0,))
    assert read_grid("").rows == ()


@pytest.mark.parametrize("text", ["1 0; 0.5 1", "1, 0; 0.5, 1;", "1 , 0;0.5 1 ; "])
def test_a_grids_numbers_may_stand_between_spaces_and_its_last_row_may_end_too(text: str) -> None:
    assert read_grid(text).rows == ((1.0, 0.0), (0.5, 1.0))


SAME = [
    ("curve", [[0, 1], [0.5, 0.3]], "0:1, 0.5:0.3"),
    ("curve", {"0": 1, "0.5": 0.3}, "0:1, 0.5:0.3"),
    ("curve", 0.5, "0.5"),
    ("layers", {"0": 1, "5": -1.5}, "0:1, 5:-1.5"),
    ("layers", {0: 1, 5: -1.5}, "0:1, 5:-1.5"),
    ("layers", [1, 0.5] * 8, ", ".join(["1", "0.5"] * 8)),
    ("grid", [[1, 0], [0.5, 1]], "1, 0; 0.5, 1"),
    ("grid", [1, 0], "1, 0"),
    ("grid", " 1,\n 0", "1, 0"),
    ("curve", None, ""),
]


@pytest.mark.parametrize(("name", "value", "text"), SAME)
def test_an_api_may_send_lists_and_objects_and_the_unit_holds_their_text(name: str, value: Any, text: str) -> None:
    assert getattr(Unit.parse({name: value}), name) == text
    assert getattr(Unit.parse({name: text}), name) == text


@given(points=st.lists(st.tuples(FRACTION, NUMBER), min_size=1, max_size=5))
def test_every_bit_of_a_number_survives_being_text(points: list[tuple[float, float]]) -> None:
    points.sort(key=lambda point: point[0])
    assert read_curve(Unit.parse({"curve": points}).curve).points == tuple(points)


@given(factors=st.dictionaries(st.integers(0, 15), NUMBER, min_size=1))
def test_every_bit_of_a_layers_factor_survives_being_text(factors: dict[int, float]) -> None:
    assert read_layers(Unit.parse({"layers": factors}).layers) == factors


@given(rows=st.lists(st.lists(NUMBER, min_size=1, max_size=4), min_size=1, max_size=4))
def test_every_bit_of_a_grid_survives_being_text(rows: list[list[float]]) -> None:
    assert read_grid(Unit.parse({"grid": rows}).grid).rows == tuple(map(tuple, rows))


WRONG = [
    ("curve", "0:1, 2:1", "2 is no part of the steps, from 0 to 1"),
    ("curve", "0.5:1, 0.2:1", "its points must go from left to right"),
    ("curve", "[0.3:0.9:10]", "10 is no part of the steps, from 0 to 1; a step's number is none"),
    ("curve", "[0.3:0.9:soon]", "soon is no part of the steps"),
    ("curve", "[0.3:0.9", "brackets are [from:to:when]"),
    ("curve", "[" * 500 + "1" + ":0.5]" * 500, "brackets are [from:to:when]"),
    ("curve", "loud", "loud is no number from -5 to 5"),
    ("curve", "nan", "nan is no number from -5 to 5"),
    ("curve", [[0, 1, 2]], "each point is a pair"),
    ("layers", "0:9", "9 is no number from -5 to 5"),
    ("layers", "16:1", "16 is no block"),
    ("layers", "-1:1", "-1 is no block"),
    ("layers", "0:1, 0.5", "0.5 is no block"),
    ("layers", [1, 2], "2 are neither 11 nor 16 nor 70"),
    ("layers", [[True] * 11], "bool is no number"),
    ("grid", "1, ; 2", "nothing is no number"),
    ("grid", "1;;2", "a row is empty"),
    ("grid", ";", "a row is empty"),
    ("grid", "1 0;;", "a row is empty"),
    ("grid", "1,,0", "nothing is no number"),
    ("grid", ";".join(["1"] * 300), "it has 300 rows"),
    ("grid", ",".join(["1"] * 300), "it has 300 numbers"),
    ("grid", "1, " * 20_000, "characters long"),
]


@pytest.mark.parametrize(("name", "value", "said"), WRONG, ids=lambda value: repr(value)[:20])
def test_what_makes_no_sense_is_a_sentence_that_says_what_does(name: str, value: Any, said: str) -> None:
    with pytest.raises(UnitError) as refusal:
        Unit.parse({name: value})
    sentence = str(refusal.value)
    assert sentence.startswith(f"IP-Adapter: {name} must be ")
    assert said in sentence
    assert len(sentence) < 200


@given(st.sampled_from(["curve", "layers", "grid"]), st.text("0123456789.:,;[]- e", max_size=12))
def test_any_text_is_taken_or_refused_with_a_sentence(name: str, text: str) -> None:
    try:
        unit = Unit.parse({name: text})
    except UnitError:
        return
    assert unit.active in (True, False)
    assert Unit.parse({name: getattr(unit, name)}) == unit
