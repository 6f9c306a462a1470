"""The host's autocast is switched off, and a device without one is no obstacle."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lib_ipadapter.maths.precision import visiting, without_autocast


def test_autocast_around_us_does_not_reach_what_is_inside() -> None:
    a = torch.ones(2, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (a @ a).dtype is torch.bfloat16
        with without_autocast(torch.device("cpu")):
            assert (a @ a).dtype is torch.float32


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps", "privateuseone", "meta"])
@pytest.mark.filterwarnings("ignore:User provided device_type")
def test_every_kind_of_device_can_be_asked_for(device: str) -> None:
    with without_autocast(torch.device(device)):
        pass


HALF, SINGLE = torch.float16, torch.float32
TRAVELS = [
    (HALF, SINGLE, [("meta", HALF), ("meta", SINGLE)]),
    (SINGLE, HALF, [("meta", HALF)]),
    (HALF, HALF, [("meta", HALF)]),
    (torch.float8_e4m3fn, SINGLE, [("cpu", SINGLE), ("meta", SINGLE)]),
    (torch.bfloat16, SINGLE, [("meta", SINGLE)]),
]


@pytest.mark.parametrize(("stored", "computed", "way"), TRAVELS)
def test_a_weight_travels_as_narrow_as_every_device_can_take_it(
    stored: torch.dtype, computed: torch.dtype, way: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[object] = []
    original = Tensor.to

    def to(self: Tensor, *where: object) -> Tensor:
        found = original(self, *where)
        seen.append((found.device.type, found.dtype))
        return found

    weight = torch.ones(3).to(stored)
    monkeypatch.setattr(Tensor, "to", to)
    visiting(weight, torch.device("meta"), computed)
    assert seen == way


@pytest.mark.parametrize("stored", [HALF, SINGLE, torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("computed", [HALF, SINGLE, torch.bfloat16])
def test_a_visiting_weight_is_the_stored_one_rounded_once(stored: torch.dtype, computed: torch.dtype) -> None:
    weight = torch.linspace(-3, 3, 50).to(stored)
    assert torch.equal(visiting(weight, torch.device("cpu"), computed), weight.to(computed))
