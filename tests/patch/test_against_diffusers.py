"""diffusers' own IP-Adapter is the oracle: same random weights, same output."""

from __future__ import annotations

import pytest
import torch

from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.moment import Moment, Role
from tests.models import EMBED, HIDDEN, TEXT_WIDTH, tiny_adapter, tiny_unet

ROLES = [Role.CONDITIONAL, Role.UNCONDITIONAL]


def unet_input() -> dict[str, torch.Tensor]:
    """Two rows of different noise and text."""
    torch.manual_seed(1)
    return {
        "sample": torch.randn(2, 4, 16, 16),
        "timestep": torch.tensor(500),
        "encoder_hidden_states": torch.randn(2, 77, TEXT_WIDTH),
    }


def features(kind: Kind) -> tuple[torch.Tensor, torch.Tensor]:
    """Of a picture, and of none."""
    torch.manual_seed(2)
    if kind is Kind.BASE:
        return torch.randn(1, EMBED), torch.zeros(1, EMBED)
    return torch.randn(1, 17, HIDDEN), torch.randn(1, 17, HIDDEN)


def ours(kind: Kind, scale: float) -> torch.Tensor:
    adapter, moment = tiny_adapter(kind), Moment()
    branch = ImageBranch(adapter.key_values(adapter.image_prompt(*features(kind)).stacked()), scale)
    unet = tiny_unet()
    with torch.no_grad(), attach(unet, [branch], moment):
        moment.begin_step(0.0, ROLES)
        return unet(**unet_input()).sample


def theirs(kind: Kind, scale: float) -> torch.Tensor:
    adapter, unet = tiny_adapter(kind), tiny_unet()
    state = {"image_proj": adapter.image_proj.state_dict(), "ip_adapter": adapter.ip_adapter.state_dict()}
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    for processor in unet.attn_processors.values():
        if hasattr(processor, "scale"):
            processor.scale = [scale]
    rows = torch.cat(features(kind))[:, None]
    with torch.no_grad():
        return unet(**unet_input(), added_cond_kwargs={"image_embeds": [rows]}).sample


@pytest.mark.parametrize("kind", PICTURE_KINDS)
@pytest.mark.parametrize("scale", [0.35, 1.0])
def test_unet_output_agrees_with_diffusers_to_float32_rounding(kind: Kind, scale: float) -> None:
    torch.testing.assert_close(ours(kind, scale), theirs(kind, scale), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_the_branch_is_no_rounding_error(kind: Kind) -> None:
    with torch.no_grad():
        plain = tiny_unet()(**unet_input()).sample
    assert (ours(kind, 1.0) - plain).abs().max() > 0.01


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_after_removal_the_unet_is_bit_equal_to_before(kind: Kind) -> None:
    adapter, moment, unet = tiny_adapter(kind), Moment(), tiny_unet()
    branch = ImageBranch(adapter.key_values(adapter.image_prompt(*features(kind)).stacked()))
    with torch.no_grad():
        before = unet(**unet_input()).sample
        with attach(unet, [branch], moment):
            moment.begin_step(0.0, ROLES)
            unet(**unet_input())
        after = unet(**unet_input()).sample
    assert torch.equal(before, after)
