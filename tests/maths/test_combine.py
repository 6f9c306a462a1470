"""Several pictures as one: what each way is, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue, image_attention
from lib_ipadapter.maths.combine import APART, Combination, combined, evened

ONE, TWO, THREE = torch.tensor([[3.0, -1.0, 0.0], [4.0, 1.0, 0.0], [0.0, 2.0, 0.0]])

WAYS = [way for way in Combination if way not in APART]

WANTED = {
    Combination.AVERAGE: [7 / 3, 2 / 3, 0],
    # Over the pictures: the norms are 5, sqrt(6) and 0, where nothing is left.
    Combination.NORM_AVERAGE: [7 / 15, 2 / 6**0.5 / 3, 0],
    Combination.ADD: [7, 2, 0],
    Combination.SUBTRACT: [1, -2.5, 0],
    Combination.MAX: [4, 2, 0],
    Combination.MIN: [0, -1, 0],
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_what_its_name_says(way: Combination) -> None:
    found = combined(torch.stack([ONE, TWO, THREE]), way, [1, 1, 1])
    torch.testing.assert_close(found, torch.tensor([WANTED[way]], dtype=torch.float32))


def test_features_may_have_any_shape_and_each_number_is_combined_for_itself() -> None:
    grids = torch.randn(3, 2, 5, 4, generator=torch.Generator().manual_seed(0))
    for way in WAYS:
        flat = combined(grids.flatten(1), way, [1, 2, 0.5])
        assert torch.equal(combined(grids, way, [1, 2, 0.5]).flatten(1), flat)


@pytest.mark.parametrize("way", [Combination.AVERAGE, Combination.NORM_AVERAGE])
def test_of_an_average_equal_weights_change_nothing_and_two_count_twice(way: Combination) -> None:
    pair = torch.stack([ONE, TWO])
    torch.testing.assert_close(combined(pair, way, [3, 3]), combined(pair, way, [1, 1]))
    if way is Combination.AVERAGE:
        torch.testing.assert_close(combined(pair, way, [2, 1]), combined(torch.stack([ONE, ONE, TWO]), way, [1, 1, 1]))
        torch.testing.assert_close(combined(pair, way, [0, 1]), TWO[None])


@pytest.mark.parametrize("way", WAYS)
def test_one_picture_is_itself(way: Combination) -> None:
    assert torch.equal(combined(ONE[None], way, [0.5]), ONE[None])


def attend(tokens: Tensor) -> Tensor:
    query = torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
    return image_attention(query, KeyValue(tokens, tokens), 2)


def test_tokens_that_are_repeated_as_a_whole_are_the_same_to_attention() -> None:
    draw = torch.Generator().manual_seed(0)
    parts = [torch.randn(1, length, 8, generator=draw) for length in (2, 3)]
    long = evened(parts, 1)
    assert [part.shape[1] for part in long] == [6, 6]
    for short, same in zip(parts, long, strict=True):
        torch.testing.assert_close(attend(short), attend(same))
