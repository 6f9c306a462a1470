"""Factors by layer and step, and what reaches each layer at each step."""

from __future__ import annotations

import pytest

from lib_ipadapter.maths.curves import Curve
from lib_ipadapter.maths.scales import Grid, LayerScales, Schedule, effective
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


def test_what_reaches_each_layer_is_the_product_of_layer_curve_and_grid() -> None:
    scales = (0.5, *(0.0,) * 14, 2.0)
    layers = LayerScales(scales, SD15, Grid(((1.0, 0.5), (0.0, -1.0))))
    schedule = Schedule(0.25, 1.0, Curve(((0.0, 1.0), (1.0, 0.0))))
    found = effective(layers, schedule, 4)
    assert len(found) == 16
    # Curve: 1, 0.75, 0.5, 0.25; the first step is before the start.
    assert found[0] == (0, 0.5 * 0.75 * 1, 0.5 * 0.5 * 0.5, 0.5 * 0.25 * 0.5)
    assert found[15] == (0, 2 * 0.75 * 0, 2 * 0.5 * -1, 2 * 0.25 * -1)
    assert not any(map(any, found[1:15]))


def test_the_structures_are_those_of_the_published_unets() -> None:
    assert (SD15.blocks, SD15.layers, SDXL.blocks, SDXL.layers) == (16, 16, 11, 70)
    assert SD15.block_of == tuple(range(16))
    assert [SDXL.block_of.count(block) for block in range(11)] == [2, 2, 10, 10, 10, 10, 10, 10, 2, 2, 2]
    assert [SD15.part(block) for block in range(16)] == [Part.INPUT] * 6 + [Part.MIDDLE] + [Part.OUTPUT] * 9
    assert [SDXL.part(block) for block in range(11)] == [Part.INPUT] * 4 + [Part.MIDDLE] + [Part.OUTPUT] * 6
