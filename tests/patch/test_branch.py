"""How strong a unit is in a layer at a moment."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.curves import Curve
from lib_ipadapter.maths.scales import Grid, LayerScales, Schedule
from lib_ipadapter.maths.structure import SD15
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.models import tiny_unet


def test_what_reaches_each_layer_is_the_product_of_scale_layer_curve_and_grid() -> None:
    layers = LayerScales((5.0, *(0.0,) * 14, 20.0), SD15, Grid(((1.0, 0.5), (0.0, -1.0))))
    schedule = Schedule(0.25, 1.0, Curve(((0.0, 1.0), (1.0, 0.0))))  # 1, 0.75, 0.5, 0.25; the first is before the start
    branch, moment = ImageBranch((), layers=layers, schedule=schedule), Moment()

    def reaching(step: int) -> list[float]:
        moment.begin_step(step / 4, [Role.CONDITIONAL])
        moment.begin_call(1, (8, 8))
        by_layer = {layer.run_index: branch.strength(layer, moment) for layer in cross_attentions(tiny_unet())}
        return [by_layer[index] for index in sorted(by_layer)]

    found = list(zip(*map(reaching, range(4)), strict=True))
    assert len(found) == 16
    assert found[0] == (0, 5 * 0.75 * 1, 5 * 0.5 * 0.5, 5 * 0.25 * 0.5)
    assert found[15] == (0, 20 * 0.75 * 0, 20 * 0.5 * -1, 20 * 0.25 * -1)
    assert not any(map(any, found[1:15]))


def test_of_many_pictures_those_that_a_call_asks_for_are_moved_and_each_row_gets_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved: list[int] = []
    original = KeyValue.like

    def like(self: KeyValue, tensor: Tensor) -> KeyValue:
        moved.append(len(self.key))
        return original(self, tensor)

    monkeypatch.setattr(KeyValue, "like", like)
    kv = KeyValue(*torch.randn(2, 65, 4, 8))
    branch, half = ImageBranch([kv]), torch.zeros(1, dtype=torch.float16)
    for picked in ([0, 7], [7, 0, 7, 64, 0], [3]):
        found = branch.rows(0, picked, half)
        assert torch.equal(found.key, kv.key.half()[picked])
        assert torch.equal(found.value, kv.value.half()[picked])
    assert moved == [2, 3, 1]


def test_a_large_batch_keeps_each_row_once() -> None:
    kv, half = KeyValue(*torch.randn(2, 3, 4, 8)), torch.zeros(1, dtype=torch.float16)
    branch, picked = ImageBranch([kv]), [0] * 8 + [1] * 8
    for _ in range(2):
        found = branch.rows(0, picked, half)
        assert torch.equal(found.key, kv.key.half()[picked])
        assert torch.equal(found.value, kv.value.half()[picked])
    assert [len(kept.key) for kept in branch._rows.values()] == [2]
