"""What the scale is applied to, against the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue, image_attention
from lib_ipadapter.maths.scaling import EmbedsScaling, scaled_attention

WIDTH, HEADS = 32, 2
PENALTY = WIDTH / 1280


def inputs() -> tuple[Tensor, KeyValue]:
    torch.manual_seed(0)
    return 3 * torch.randn(2, 6, WIDTH), KeyValue(*torch.randn(2, 2, 5, WIDTH))


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Head by head."""
    heads = [slice(i * WIDTH // HEADS, (i + 1) * WIDTH // HEADS) for i in range(HEADS)]
    return torch.cat(
        [(query[..., h] @ key[..., h].mT / math.sqrt(WIDTH / HEADS)).softmax(-1) @ value[..., h] for h in heads],
        dim=-1,
    )


def by_hand(mode: str, w: float) -> Tensor:
    query, kv = inputs()
    k, v = kv.key, kv.value
    mean = v.mean(dim=1, keepdim=True)
    penalised = w * PENALTY
    return {
        "V only": lambda: attention(query, k, w * v),
        "K+V": lambda: attention(query, w * k, w * v),
        "V only w/ C penalty": lambda: attention(query, k, penalised * v),
        "K+V w/ C penalty": lambda: attention(query, penalised * k, penalised * v),
        "K+mean(V) w/ C penalty": lambda: attention(query, penalised * k, (v - mean) + mean * penalised),
    }[mode]()


@pytest.mark.parametrize("mode", EmbedsScaling)
@pytest.mark.parametrize("scale", [0.3, 1.0, -0.5])
def test_each_mode_is_its_formula(mode: EmbedsScaling, scale: float) -> None:
    query, kv = inputs()
    found = scaled_attention(query, kv, HEADS, scale, mode)
    torch.testing.assert_close(found, by_hand(mode.value, scale), rtol=1e-5, atol=1e-6)


def test_the_default_is_the_scaled_output_bit_for_bit() -> None:
    query, kv = inputs()
    found = scaled_attention(query, kv, HEADS, 0.7, EmbedsScaling.V)
    assert torch.equal(found, 0.7 * image_attention(query, kv, HEADS))


def test_at_one_keys_and_values_are_as_they_were_and_below_the_modes_differ() -> None:
    query, kv = inputs()
    whole = image_attention(query, kv, HEADS)
    assert torch.equal(scaled_attention(query, kv, HEADS, 1.0, EmbedsScaling.K_V), whole)
    found = [scaled_attention(query, kv, HEADS, 0.5, mode) for mode in EmbedsScaling]
    for number, one in enumerate(found):
        assert not any(torch.allclose(one, other, atol=1e-4) for other in found[number + 1 :])


@pytest.mark.parametrize("mode", EmbedsScaling)
def test_a_scale_of_almost_nothing_adds_almost_nothing(mode: EmbedsScaling) -> None:
    query, kv = inputs()
    assert scaled_attention(query, kv, HEADS, 1e-6, mode).abs().max() < 1e-4
