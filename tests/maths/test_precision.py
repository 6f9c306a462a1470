"""The host's autocast is switched off, and a device without one is no obstacle."""

from __future__ import annotations

import pytest
import torch

from lib_ipadapter.maths.precision import without_autocast


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
