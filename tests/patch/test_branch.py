"""How strong a unit is in a layer at a moment."""

from __future__ import annotations

from lib_ipadapter.maths.curves import Curve
from lib_ipadapter.maths.scales import Grid, LayerScales, Schedule
from lib_ipadapter.maths.structure import SD15
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.models import tiny_unet


def test_what_reaches_each_layer_is_the_product_of_scale_layer_curve_and_grid() -> None:
    layers = LayerScales((0.5, *(0.0,) * 14, 2.0), SD15, Grid(((1.0, 0.5), (0.0, -1.0))))
    schedule = Schedule(0.25, 1.0, Curve(((0.0, 1.0), (1.0, 0.0))))  # 1, 0.75, 0.5, 0.25; the first is before the start
    branch, moment = ImageBranch((), 10.0, schedule, layers=layers), Moment()

    def reaching(step: int) -> list[float]:
        moment.begin_step(step / 4, [Role.CONDITIONAL])
        by_layer = {layer.run_index: branch.strength(layer, moment) for layer in cross_attentions(tiny_unet())}
        return [by_layer[index] for index in sorted(by_layer)]

    found = list(zip(*map(reaching, range(4)), strict=True))
    assert len(found) == 16
    assert found[0] == (0, 5 * 0.75 * 1, 5 * 0.5 * 0.5, 5 * 0.25 * 0.5)
    assert found[15] == (0, 20 * 0.75 * 0, 20 * 0.5 * -1, 20 * 0.25 * -1)
    assert not any(map(any, found[1:15]))
