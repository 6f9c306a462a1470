"""A factor over the steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ipadapter.maths.curves import Curve
from lib_ipadapter.maths.scales import Schedule

FRACTION = st.floats(0.0, 1.0)
POINTS = st.lists(st.tuples(st.integers(0, 8).map(lambda n: n / 8), st.sampled_from([0.0, 0.0, 1.0, -2.0])), max_size=5)
LINE = Curve(((0.0, 1.0), (0.5, 0.3), (1.0, 0.0)))


@pytest.mark.parametrize(
    ("progress", "factor"), [(0.0, 1.0), (0.25, 0.65), (0.5, 0.3), (0.75, 0.15), (1.0, 0.0), (1.5, 0.0)]
)
def test_between_two_points_is_a_straight_line_and_beyond_them_it_is_level(progress: float, factor: float) -> None:
    assert LINE.at(progress) == pytest.approx(factor)


def test_before_the_first_point_it_is_level_too() -> None:
    assert Curve(((0.5, 0.3), (1.0, 0.0))).at(0.1) == 0.3


def test_without_points_it_is_one_throughout() -> None:
    assert [Curve().at(step / 4) for step in range(6)] == [1.0] * 6


def test_a_jump_is_where_it_says_and_the_new_level_holds_from_there_on() -> None:
    """As ``[from:to:0.5]`` does: of 20 steps the first 10 are the old prompt's."""
    curve = Curve.steps([(0.0, 0.3), (0.5, 0.9)])
    assert [curve.at(step / 20) for step in range(20)] == [0.3] * 10 + [0.9] * 10


def test_of_several_levels_each_begins_at_its_place() -> None:
    curve = Curve.steps([(0.0, 1.0), (0.25, 2.0), (0.5, 3.0), (0.75, 4.0)])
    assert [curve.at(step / 8) for step in range(8)] == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0]


@given(points=POINTS, start=FRACTION, end=FRACTION)
def test_a_schedule_is_empty_exactly_if_it_acts_at_no_step(
    points: list[tuple[float, float]], start: float, end: float
) -> None:
    start, end = round(start * 8) / 8, round(end * 8) / 8
    schedule = Schedule(start, end, Curve(tuple(sorted(points, key=lambda point: point[0]))))
    assert schedule.empty == (not any(schedule.at(step / 800) for step in range(800)))


@given(start=FRACTION, end=FRACTION, progress=FRACTION)
def test_a_curve_acts_inside_the_range_only(start: float, end: float, progress: float) -> None:
    plain, curved = Schedule(start, end), Schedule(start, end, Curve(((0.0, 0.5),)))
    assert plain.factor(progress) in (0.0, 1.0)
    assert curved.factor(progress) == 0.5 * plain.factor(progress)
