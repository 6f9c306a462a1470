"""Weight types, layers, curve and grid, by what reaches each layer of SD1.5's and SDXL's UNets."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.patch.attach import LayerHooks
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.session.fake_host import FakeHost, picture
from tests.session.fake_host import unit as real_unit
from tests.session.reaching import NETWORKS, NOTHING, OWN, SECOND, Network, Watch, unit

W, WC = 0.8, 0.3
"""Scale, and the composition's."""


def everywhere(last: int, scale: float) -> dict[int, float]:
    return dict.fromkeys(range(last + 1), scale)


def these(*blocks: int, scale: float = W) -> dict[int, float]:
    return dict.fromkeys(blocks, scale)


ALL15, ALLXL = range(16), range(11)

SD15_TABLE = {
    "linear": everywhere(15, W),
    "ease in": {t: W * (0.05 + 0.95 * (1 - t / 16)) for t in ALL15},
    "ease out": {t: W * (0.05 + 0.95 * t / 16) for t in ALL15},
    "ease in-out": {t: W * (0.05 + 0.95 * (1 - abs(t - 8) / 8)) for t in ALL15},
    "reverse in-out": {t: W * (0.05 + 0.95 * abs(t - 8) / 8) for t in ALL15},
    "weak input": everywhere(15, W) | these(0, 1, 2, 3, 4, 5, scale=W * 0.2),
    "weak middle": everywhere(15, W) | {6: W * 0.2},
    "weak output": everywhere(15, W) | these(7, 8, 9, 10, 11, 12, 13, 14, 15, scale=W * 0.2),
    "strong middle": everywhere(15, W * 0.2) | {6: W},
    "style transfer": these(0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15),
    "composition": {4: 0.25 * W, 5: W},
    "strong style transfer": these(0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    "style and composition": these(0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15) | {4: 0.25 * WC, 5: WC},
    "strong style and composition": everywhere(15, W) | {4: WC, 5: WC},
    "style transfer precise": these(0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15) | {4: 0.25 * WC, 5: WC},
    "composition precise": these(0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15)
    | {4: 0.25 * WC, 5: WC}
    | these(6, 7, 8, scale=0.1 * W),
}
SDXL_TABLE = {
    "linear": everywhere(10, W),
    "ease in": {t: W * (0.05 + 0.95 * (1 - t / 11)) for t in ALLXL},
    "ease out": {t: W * (0.05 + 0.95 * t / 11) for t in ALLXL},
    "ease in-out": {t: W * (0.05 + 0.95 * (1 - abs(t - 5.5) / 5.5)) for t in ALLXL},
    "reverse in-out": {t: W * (0.05 + 0.95 * abs(t - 5.5) / 5.5) for t in ALLXL},
    "weak input": everywhere(10, W) | these(0, 1, 2, 3, scale=W * 0.2),
    "weak middle": everywhere(10, W) | {4: W * 0.2},
    "weak output": everywhere(10, W) | these(5, 6, 7, 8, 9, 10, scale=W * 0.2),
    "strong middle": everywhere(10, W * 0.2) | {4: W},
    "style transfer": {6: W},
    "composition": {3: W},
    "strong style transfer": these(0, 1, 2, 4, 5, 6, 7, 8, 9, 10),
    "style and composition": {3: WC, 6: W},
    "strong style and composition": everywhere(10, W) | {3: WC},
    "style transfer precise": {3: WC, 6: W},
    "composition precise": everywhere(10, 0.1 * W) | {3: WC, 6: W},
}
INVERTED = {
    ("style transfer precise", False): {4, 5},
    ("style transfer precise", True): {3},
    ("composition precise", False): {0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    ("composition precise", True): {0, 1, 2, 4, 5, 6, 7, 8, 9, 10},
}
"""Blocks where the unconditional rows see the picture and the conditional ones nothing."""


@pytest.fixture(scope="module", params=NETWORKS)
def seen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Watch]:
    network = NETWORKS[request.param]
    return network, Watch(tmp_path_factory.mktemp("host"), network.make())


def close(found: dict[str, tuple[float, float]], expected: dict[str, tuple[float, float]]) -> None:
    assert set(found) == set(expected)
    for name, rows in expected.items():
        assert found[name] == pytest.approx(rows, rel=1e-4, abs=2e-4), name


def test_every_weight_type_has_a_row_in_the_table() -> None:
    assert set(SD15_TABLE) == set(SDXL_TABLE) == {kind.value for kind in WeightType}


@pytest.mark.parametrize("kind", SD15_TABLE)
def test_each_weight_type_is_its_row_of_the_table(kind: str, seen: tuple[Network, Watch]) -> None:
    network, watch = seen
    table = (SDXL_TABLE if network.sdxl else SD15_TABLE)[kind]
    turned = INVERTED.get((kind, network.sdxl), set())
    (found,) = watch.reaching(unit(weight_type=kind, composition_scale=WC, scale=W))
    assert len(found) == (70 if network.sdxl else 16)

    def rows(t: int) -> tuple[float, float]:
        scale = table.get(t, 0.0)
        return (0.0, scale) if t in turned else (scale, NOTHING * scale)

    close(found, {name: rows(network.t(name)) for name in found})


@pytest.mark.parametrize("kind", ["style and composition", "strong style and composition"])
def test_the_compositions_layers_take_the_second_picture_and_the_others_the_first(
    kind: str, seen: tuple[Network, Watch]
) -> None:
    network, watch = seen
    table = (SDXL_TABLE if network.sdxl else SD15_TABLE)[kind]
    composing = {3} if network.sdxl else {4, 5}
    (found,) = watch.reaching(unit(weight_type=kind, composition_scale=WC, scale=W, composition_image=SECOND))
    values = {name: 10.0 if network.t(name) in composing else 1.0 for name in found}
    scales = {name: table.get(network.t(name), 0.0) for name in found}
    close(found, {name: (scales[name] * values[name], scales[name] * NOTHING) for name in found})


def test_a_second_picture_is_not_looked_at_where_no_layer_takes_it(seen: tuple[Network, Watch]) -> None:
    watch = seen[1]
    watch.library.asked.clear()
    watch.reaching(unit(weight_type="style transfer", composition_image=SECOND))
    assert watch.library.asked == [unit().image_hash]


@pytest.mark.parametrize("kind", [kind.value for kind in WeightType if kind.two_scales])
def test_without_a_scale_of_its_own_the_composition_takes_the_units(kind: str, seen: tuple[Network, Watch]) -> None:
    watch = seen[1]
    close(*watch.reaching(unit(weight_type=kind)), *watch.reaching(unit(weight_type=kind, composition_scale=0.8)))


def test_layers_by_number_multiply_the_scale_and_the_others_are_off(seen: tuple[Network, Watch]) -> None:
    network, watch = seen
    (found,) = watch.reaching(unit(layers="0:1, 4:0.25, 5:-1", weight_type="ease in", scale=0.8))
    factors = {0: 1.0, 4: 0.25, 5: -1.0}
    scales = {name: 0.8 * factors.get(network.t(name), 0.0) for name in found}
    close(found, {name: (scale, NOTHING * scale) for name, scale in scales.items()})


@pytest.mark.parametrize("kind", ["style transfer precise", "composition precise", "style and composition"])
def test_layers_by_hand_are_exactly_these_whatever_the_weight_type(kind: str, seen: tuple[Network, Watch]) -> None:
    watch = seen[1]
    given = {"layers": "0:1, 3:0.5, 5:-1", "composition_scale": WC}
    close(*watch.reaching(unit(weight_type=kind, composition_image=SECOND, **given)), *watch.reaching(unit(**given)))
    assert not unit(weight_type=kind, scale=0, **given).active


def test_layers_by_hand_take_a_picture_for_each_item_where_a_precise_type_cannot(host: FakeHost) -> None:
    several = {"images": [picture(1)], "combine": "batch", "weight_type": "composition precise"}
    with pytest.raises(UnitError, match="pushes one picture away"), Generation(host, [real_unit(**several)]):
        pass
    with Generation(host, [real_unit(layers="4:1", **several)]):
        assert host.run().isfinite().all()


def test_a_whole_list_goes_by_block(seen: tuple[Network, Watch]) -> None:
    network, watch = seen
    factors = [t / 8 for t in range(11 if network.sdxl else 16)]
    (found,) = watch.reaching(unit(layers=factors, scale=1.0))
    close(found, {name: (factors[network.t(name)], NOTHING * factors[network.t(name)]) for name in found})


def test_a_list_of_seventy_goes_by_layer(tmp_path: Path) -> None:
    network = NETWORKS["SDXL as sgm"]
    (found,) = Watch(tmp_path, network.make()).reaching(unit(layers=[(n % 7) / 4 for n in range(70)], scale=1.0))
    ran = sorted(
        found, key=lambda name: next(t for b, t in NETWORKS["SDXL as sgm"].blocks.items() if name.startswith(b))
    )
    close(found, {name: ((n % 7) / 4, NOTHING * (n % 7) / 4) for n, name in enumerate(ran)})


@pytest.mark.parametrize(
    ("network", "layers", "said"),
    [
        ("SDXL as sgm", "11:1", "number 11, but the loaded checkpoint has the numbers 0 to 10"),
        ("SDXL as sgm", [1] * 16, "a list of 16, but the loaded checkpoint has the numbers 0 to 10"),
        ("SD1.5 as ldm", [1] * 11, "a list of 11, but the loaded checkpoint has the numbers 0 to 15"),
        ("SD1.5 as ldm", [1] * 70, "a list of 70, but"),
    ],
)
def test_layers_of_another_family_are_a_sentence(network: str, layers: object, said: str, tmp_path: Path) -> None:
    watch = Watch(tmp_path, NETWORKS[network].make())
    with pytest.raises(UnitError, match=said):
        watch.reaching(unit(layers=layers))


def test_the_curve_is_read_at_each_step(seen: tuple[Network, Watch]) -> None:
    watch = seen[1]
    steps = [step / 8 for step in range(8)]
    found = watch.reaching(unit(curve="0:1, 0.5:0.5, 1:0", start=0.25, end=0.875, scale=0.8), steps=steps)
    factors = [0, 0, 0.75, 0.625, 0.5, 0.375, 0.25, 0]
    for step, factor in zip(found, factors, strict=True):
        close(step, dict.fromkeys(step, (0.8 * factor, NOTHING * 0.8 * factor)))


def test_the_grid_is_read_in_each_layer_at_each_step(seen: tuple[Network, Watch]) -> None:
    network, watch = seen
    found = watch.reaching(unit(grid="1, 0.5; 0, -1", scale=0.8), steps=[0.0, 0.25, 0.5, 0.75])
    early = 5 if network.sdxl else 8  # blocks of the first half: the middle one of eleven belongs to the second
    for step, (top, bottom) in zip(found, [(1, 0), (1, 0), (0.5, -1), (0.5, -1)], strict=True):
        scales = {name: 0.8 * (top if network.t(name) < early else bottom) for name in step}
        close(step, {name: (scale, NOTHING * scale) for name, scale in scales.items()})


def test_a_layer_without_weight_keeps_no_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: set[str] = set()
    keep_query = LayerHooks.keep_query

    def watched(hooks: LayerHooks, *args: object) -> None:
        keep_query(hooks, *args)  # pyright: ignore[reportArgumentType]
        kept.update({hooks.layer.name} if hooks.query is not None else ())

    monkeypatch.setattr(LayerHooks, "keep_query", watched)
    network = NETWORKS["SDXL as sgm"]
    Watch(tmp_path, network.make()).reaching(unit(weight_type="style transfer"))
    assert len(kept) == 10
    assert {network.t(name) for name in kept} == {6}


LAYERED = [
    {"weight_type": "style and composition", "composition_scale": 0.4, "composition_image": picture(7)},
    {"layers": "4:1, 5:-0.5", "curve": "[1:0.2:0.5]", "embeds_scaling": "K+V"},
    {"grid": "1, 0; 0.3, 1", "weight_type": "composition precise"},
]


def test_units_of_all_sorts_commute_bit_for_bit(host: FakeHost) -> None:
    units = [real_unit(seed=seed, **values) for seed, values in enumerate(LAYERED)]
    library = Library()

    def generate(*order: Unit) -> torch.Tensor:
        with Generation(host, order, library):
            return torch.cat([host.run(0.0), host.run(0.6)])

    first = generate(*units)
    assert torch.equal(first, generate(*units[::-1]))
    assert torch.equal(first, generate(units[1], units[2], units[0]))
    assert all(not torch.equal(first, generate(*units[:n], *units[n + 1 :])) for n in range(3))


@pytest.mark.parametrize(
    ("values", "active"),
    [
        ({"curve": "0"}, False),
        ({"curve": "[0:1:0.5]", "end": 0.5}, False),
        ({"curve": "[0:1:0.5]", "end": 0.6}, True),
        ({"layers": "3:0"}, False),
        ({"layers": "3:-1"}, True),
        ({"layers": "3:1", "scale": 0}, False),
        ({"grid": "0, 0; 0, 0"}, False),
        ({"grid": "0, 0; 0, 0.1"}, True),
        ({"scale": 0, "composition_scale": 0.5}, False),
        ({"scale": 0, "composition_scale": 0.5, "weight_type": "style and composition"}, True),
    ],
)
def test_a_unit_without_weight_anywhere_is_not_active(values: dict[str, object], active: bool) -> None:
    assert unit(**values).active is active


def test_the_second_picture_has_a_say_in_the_order() -> None:
    orders = {unit(composition_image=image).order for image in (None, OWN, SECOND)}
    assert len(orders) == 3
