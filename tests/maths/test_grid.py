"""Factors by layer and step."""

from __future__ import annotations

import pytest

from lib_ipadapter.maths.scales import Grid
from lib_ipadapter.maths.structure import SD15, SDXL, Part, Structure


def column(grid: Grid, structure: Structure, progress: float = 0.0) -> list[float]:
    return [grid.at(layer, structure, progress) for layer in range(structure.layers)]


def test_columns_are_equal_parts_of_the_steps() -> None:
    grid = Grid(((1.0, 2.0, 3.0),))
    assert [grid.at(0, SD15, step / 9) for step in range(9)] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert grid.at(0, SD15, 1.2) == 3  # samplers may take more steps than announced


@pytest.mark.parametrize("steps", [20, 22, 49, 100, 150])
def test_as_many_columns_as_steps_are_one_each(steps: int) -> None:
    grid = Grid((tuple(float(step) for step in range(steps)),))
    assert [grid.at(0, SD15, step / steps) for step in range(steps)] == list(range(steps))


def test_two_rows_are_the_first_and_the_second_half_of_the_blocks() -> None:
    grid = Grid(((1.0,), (2.0,)))
    assert column(grid, SD15) == [1] * 8 + [2] * 8
    assert column(grid, SDXL) == [1] * (2 + 2 + 10 + 10 + 10) + [2] * (10 + 10 + 10 + 2 + 2 + 2)


@pytest.mark.parametrize("structure", [SD15, SDXL])
def test_as_many_rows_as_blocks_are_one_each(structure: Structure) -> None:
    grid = Grid(tuple((float(block),) for block in range(structure.blocks)))
    assert column(grid, structure) == list(structure.block_of)


def test_as_many_rows_as_layers_are_one_each() -> None:
    assert column(Grid(tuple((float(layer),) for layer in range(70))), SDXL) == list(range(70))


def test_rows_may_be_of_different_length() -> None:
    grid = Grid(((5.0,), (1.0, 2.0)))
    assert [grid.at(0, SD15, 0.0), grid.at(0, SD15, 0.9)] == [5, 5]
    assert [grid.at(15, SD15, 0.0), grid.at(15, SD15, 0.9)] == [1, 2]


def test_without_rows_all_is_one_and_only_zeros_are_nothing() -> None:
    assert column(Grid(), SDXL, 0.5) == [1] * 70
    assert not Grid().empty
    assert Grid(((0.0, 0.0), (0.0,))).empty
    assert not Grid(((0.0, 0.0), (0.5,))).empty


def test_the_structures_are_those_of_the_published_unets() -> None:
    assert (SD15.blocks, SD15.layers, SDXL.blocks, SDXL.layers) == (16, 16, 11, 70)
    assert SD15.block_of == tuple(range(16))
    assert [SDXL.block_of.count(block) for block in range(11)] == [2, 2, 10, 10, 10, 10, 10, 10, 2, 2, 2]
    assert [SD15.part(block) for block in range(16)] == [Part.INPUT] * 6 + [Part.MIDDLE] + [Part.OUTPUT] * 9
    assert [SDXL.part(block) for block in range(11)] == [Part.INPUT] * 4 + [Part.MIDDLE] + [Part.OUTPUT] * 6
