"""Order, noise and drops: as announced, and the same however the rows are divided."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_ipadapter.training.share import Share
from lib_ipadapter.training.stream import Drop, Stream
from lib_ipadapter.training.window import Window

DROPS = ((Drop.IMAGE, 0.05), (Drop.TEXT, 0.1), (Drop.BOTH, 0.2))


def stream(seed: int = 0, examples: int = 7) -> Stream:
    return Stream(seed, examples, 1000, DROPS)


def test_realised_drop_rates_are_the_announced_ones() -> None:
    rows = 20000
    found = Counter(stream().draw(number).drop for number in range(rows))
    for drop, wanted in DROPS:
        deviation = (wanted * (1 - wanted) / rows) ** 0.5
        assert abs(found[drop] / rows - wanted) < 4 * deviation


def test_realised_drop_rates_are_logged() -> None:
    source, window = stream(), Window()
    draws = [source.draw(number) for number in range(400)]
    window.add([torch.ones(400)], torch.ones(()))
    values = window.close(torch.ones(400), draws, 1000)
    for drop, _ in DROPS:
        assert values[f"dropped/{drop.value}"] == sum(draw.drop is drop for draw in draws) / 400


def test_timesteps_are_spread_evenly() -> None:
    steps = torch.tensor([stream().draw(number).timestep for number in range(5000)]).float()
    assert 0 <= steps.min() < 10
    assert 990 < steps.max() <= 999
    assert abs(float(steps.mean()) - 499.5) < 4 * 1000 / (12 * 5000) ** 0.5


def test_every_epoch_has_every_example_once_in_an_order_of_its_own() -> None:
    source = stream(examples=50)
    epochs = [[source.draw(50 * epoch + i).example for i in range(50)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


@given(st.integers(0, 2**40), st.integers(0, 2**31))
def test_a_row_follows_from_its_number_alone(number: int, seed: int) -> None:
    used = stream(seed)
    used.draw(3)
    used.noise([1, 2], (4,))
    assert used.draw(number) == stream(seed).draw(number)
    together, alone = used.noise([5, number], (2, 3)), stream(seed).noise([number], (2, 3))
    assert all(torch.equal(one[1], other[0]) for one, other in zip(together, alone, strict=True))


def test_neighbouring_rows_and_seeds_have_noise_that_is_not_alike() -> None:
    rows = torch.cat([torch.cat(stream(seed).noise(range(20), (4, 8, 8))) for seed in (0, 1)]).flatten(1)
    likeness = torch.corrcoef(rows) - torch.eye(len(rows))
    assert likeness.abs().max() < 6 / 256**0.5
    assert abs(float(rows.mean())) < 0.05
    assert abs(float(rows.std()) - 1) < 0.05


@pytest.mark.parametrize(
    ("batch", "accumulation", "processes"), [(12, 1, 1), (6, 1, 2), (4, 3, 1), (2, 2, 3), (1, 12, 1), (3, 1, 4)]
)
def test_every_division_has_the_same_rows(batch: int, accumulation: int, processes: int) -> None:
    shares = [Share(batch, accumulation, processes, process) for process in range(processes)]
    rows = [number for share in shares for part in share.own(24) for number in part]
    assert sorted(rows) == list(range(24, 36))
    assert {share.rows for share in shares} == {12}
