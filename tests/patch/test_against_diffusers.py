"""diffusers' own IP-Adapter is the oracle: same random weights, same output."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline

from lib_ipadapter.maths.scales import LayerScales
from lib_ipadapter.maths.structure import SD15
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.session.unit import Unit
from tests.models import EMBED, HIDDEN, TEXT_WIDTH, even, image_prompt, tiny_adapter, tiny_unet

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


def ours(kind: Kind, scale: float, layers: LayerScales | None = None) -> torch.Tensor:
    adapter, moment = tiny_adapter(kind), Moment()
    key_values = adapter.key_values(image_prompt(adapter, *features(kind)).stacked())
    branch = ImageBranch(key_values, layers=layers or even(key_values, scale))
    unet = tiny_unet()
    with torch.no_grad(), attach(unet, [branch], moment):
        moment.begin_step(0.0, ROLES)
        return unet(**unet_input()).sample


def theirs(kind: Kind, scale: float | dict[str, Any]) -> torch.Tensor:
    adapter, unet = tiny_adapter(kind), tiny_unet()
    state = {"image_proj": adapter.image_proj.state_dict(), "ip_adapter": adapter.ip_adapter.state_dict()}
    unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    StableDiffusionPipeline.set_ip_adapter_scale(SimpleNamespace(unet=unet), scale)  # pyright: ignore[reportArgumentType]
    rows = torch.cat(features(kind))[:, None]
    with torch.no_grad():
        return unet(**unet_input(), added_cond_kwargs={"image_embeds": [rows]}).sample


@pytest.mark.parametrize("kind", PICTURE_KINDS)
@pytest.mark.parametrize("scale", [0.35, 1.0])
def test_unet_output_agrees_with_diffusers_to_float32_rounding(kind: Kind, scale: float) -> None:
    torch.testing.assert_close(ours(kind, scale), theirs(kind, scale), rtol=1e-4, atol=2e-5)


BLOCKS = {
    "composition": {"down": {"block_2": [0.25, 1.0]}},
    "style transfer": {
        "down": {"block_0": 1.0, "block_1": 1.0},
        "up": {"block_1": [0.0, 0.0, 1.0], "block_2": 1.0, "block_3": 1.0},
    },
    "strong middle": {
        "down": {"block_0": 0.2, "block_1": 0.2, "block_2": 0.2},
        "mid": 1.0,
        "up": {"block_1": 0.2, "block_2": 0.2, "block_3": 0.2},
    },
}
"""A weight type -> the same as diffusers' scales by block."""


@pytest.mark.parametrize("weights", BLOCKS)
def test_weight_types_agree_with_diffusers_scales_by_block(weights: str) -> None:
    layers = Unit(weight_type=weights).layer_scales(0.8, SD15)
    scales = {part: _times(0.8, found) for part, found in BLOCKS[weights].items()}
    torch.testing.assert_close(ours(Kind.BASE, 1.0, layers), theirs(Kind.BASE, scales), rtol=1e-4, atol=2e-5)


def _times(factor: float, found: Any) -> Any:
    """Every number in nested dicts and lists."""
    if isinstance(found, dict):
        return {name: _times(factor, one) for name, one in found.items()}
    return [factor * one for one in found] if isinstance(found, list) else factor * found


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_the_branch_is_no_rounding_error(kind: Kind) -> None:
    with torch.no_grad():
        plain = tiny_unet()(**unet_input()).sample
    assert (ours(kind, 1.0) - plain).abs().max() > 0.01


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_after_removal_the_unet_is_bit_equal_to_before(kind: Kind) -> None:
    adapter, moment, unet = tiny_adapter(kind), Moment(), tiny_unet()
    key_values = adapter.key_values(image_prompt(adapter, *features(kind)).stacked())
    branch = ImageBranch(key_values)
    with torch.no_grad():
        before = unet(**unet_input()).sample
        with attach(unet, [branch], moment):
            moment.begin_step(0.0, ROLES)
            unet(**unet_input())
        after = unet(**unet_input()).sample
    assert torch.equal(before, after)
