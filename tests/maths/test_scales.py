"""When a unit acts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib_ipadapter.maths.scales import Schedule

FRACTION = st.floats(0.0, 1.0)
STEPS = st.integers(1, 60)


@given(cut=FRACTION, steps=STEPS)
def test_ranges_that_meet_share_no_step_and_leave_none_out(cut: float, steps: int) -> None:
    before, after = Schedule(0.0, cut), Schedule(cut, 1.0)
    for step in range(steps):
        assert before.at(step / steps) != after.at(step / steps)


@given(edges=st.lists(FRACTION, max_size=6), steps=STEPS)
def test_any_partition_of_the_sampling_covers_each_step_once(edges: list[float], steps: int) -> None:
    marks = [0.0, *sorted(edges), 1.0]
    parts = [Schedule(a, b) for a, b in itertools.pairwise(marks)]
    for step in range(steps):
        assert sum(part.at(step / steps) for part in parts) == 1


@given(start=FRACTION, end=FRACTION, progress=FRACTION)
def test_an_empty_range_never_acts(start: float, end: float, progress: float) -> None:
    schedule = Schedule(start, end)
    assert schedule.empty == (start >= end)
    if schedule.empty:
        assert not schedule.at(progress)


@given(progress=st.floats(0.0, 3.0))
def test_the_whole_range_acts_even_past_the_announced_end(progress: float) -> None:
    assert Schedule().at(progress)


@given(start=FRACTION, end=FRACTION, steps=STEPS)
def test_a_range_is_one_piece(start: float, end: float, steps: int) -> None:
    acting = [Schedule(start, end).at(step / steps) for step in range(steps)]
    changes = sum(a != b for a, b in itertools.pairwise(acting))
    assert changes <= 2
    if changes == 2:
        assert not acting[0]


@pytest.mark.parametrize(("start", "end", "steps"), [(0.0, 0.5, [0, 1]), (0.5, 1.0, [2, 3]), (0.25, 0.75, [1, 2])])
def test_of_four_steps(start: float, end: float, steps: list[int]) -> None:
    assert [step for step in range(4) if Schedule(start, end).at(step / 4)] == steps
