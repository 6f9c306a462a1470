"""The branch's output is exactly zero outside a mask, exactly the unmasked one inside, and refused where it must be."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.masks import Box, levels, token_mask
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import CrossAttention, cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.patch.region import Region
from tests.models import TEXT_WIDTH, even, tiny_unet

ROLES = [Role.CONDITIONAL, Role.UNCONDITIONAL]
LOT = random.Random(5)
ODD = [(2 * LOT.randrange(4, 21) + 1, 2 * LOT.randrange(4, 21) + 1) for _ in range(30)]
"""Latent sizes that do not halve, and so are rounded up on the way down."""


@pytest.fixture(scope="module")
def unet() -> nn.Module:
    return tiny_unet()


def branch(unet: nn.Module, region: Region | None, seed: int = 2) -> ImageBranch:
    torch.manual_seed(seed)
    kvs = [KeyValue(*torch.randn(2, 2, 5, layer.width)) for layer in cross_attentions(unet)]
    return ImageBranch(kvs, region=region)


def left_half(height: int, width: int) -> Tensor:
    mask = torch.zeros(8 * height, 8 * width)
    mask[:, : 4 * width] = 1
    return mask


def run(unet: nn.Module, size: tuple[int, int], branches: Sequence[ImageBranch]) -> Tensor:
    noise, moment = torch.Generator().manual_seed(1), Moment()
    latent = torch.randn(2, 4, *size, generator=noise)
    text = torch.randn(2, 7, TEXT_WIDTH, generator=noise)
    with attach(unet, branches, moment), torch.no_grad():
        moment.begin_step(0.0, ROLES)
        return unet(latent, torch.tensor(500), encoder_hidden_states=text).sample


@pytest.mark.parametrize("size", ODD)
def test_at_odd_sizes_every_layer_gets_zero_outside_and_all_inside(
    size: tuple[int, int], unet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []
    output = ImageBranch.output

    def both(self: ImageBranch, query: Tensor, layer: CrossAttention, moment: Moment) -> Tensor:
        whole = replace(self, region=None)
        seen.append((output(self, query, layer, moment), output(whole, query, layer, moment)))
        return seen[-1][0]

    monkeypatch.setattr(ImageBranch, "output", both)
    mask = left_half(*size)
    run(unet, size, [branch(unet, Region(mask))])
    assert len(seen) == 16
    counts = {height * width for height, width in levels(size)}
    for masked, whole in seen:
        assert masked.shape[1] in counts
        share = token_mask(mask, size, masked.shape[1])
        assert torch.count_nonzero(masked[:, share == 0]) == 0
        assert torch.equal(masked[:, share == 1], whole[:, share == 1])
        assert torch.count_nonzero(whole[:, share == 0]) > 0


def test_masked_to_everything_is_bit_for_bit_unmasked_and_to_nothing_is_without_the_unit(unet: nn.Module) -> None:
    size = (9, 13)
    plain, whole = run(unet, size, []), run(unet, size, [branch(unet, None)])
    assert not torch.equal(plain, whole)
    assert torch.equal(run(unet, size, [branch(unet, Region(torch.ones(5, 7)))]), whole)
    assert torch.equal(run(unet, size, [branch(unet, Region(torch.zeros(5, 7)))]), plain)


def test_both_sides_of_a_soft_mask_together_are_the_unmasked_unit(unet: nn.Module) -> None:
    size, soft = (9, 13), torch.rand(40, 40, generator=torch.Generator().manual_seed(0))
    sides = [branch(unet, Region(soft)), branch(unet, Region(1 - soft))]
    torch.testing.assert_close(run(unet, size, sides), run(unet, size, [branch(unet, None)]), rtol=0, atol=1e-5)
    assert not torch.allclose(run(unet, size, sides[:1]), run(unet, size, sides), atol=1e-3)


def test_masked_units_commute(unet: nn.Module) -> None:
    size, mask = (9, 13), left_half(9, 13)
    units = [branch(unet, Region(mask), 2), branch(unet, Region(1 - mask), 3), branch(unet, None, 4)]
    torch.testing.assert_close(run(unet, size, units), run(unet, size, units[::-1]), rtol=0, atol=1e-5)


def test_keys_and_values_do_not_know_of_the_mask(unet: nn.Module) -> None:
    masked, whole = branch(unet, Region(torch.zeros(4, 4))), branch(unet, None)
    for one in (masked, whole):
        run(unet, (8, 8), [one])
    assert masked._rows.keys() == whole._rows.keys() != set()
    for key, kv in masked._rows.items():
        assert torch.equal(kv.key, whole._rows[key].key)
        assert torch.equal(kv.value, whole._rows[key].value)


def test_a_mask_is_resized_once_for_each_size_however_many_steps_there_are(
    unet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[tuple[tuple[int, int], int]] = []

    def counted(mask: Tensor, latent_size: tuple[int, int], tokens: int, *more: Box) -> Tensor:
        sizes.append((latent_size, tokens))
        return token_mask(mask, latent_size, tokens, *more)

    monkeypatch.setattr("lib_ipadapter.patch.region.token_mask", counted)
    one = branch(unet, Region(left_half(9, 13)))
    for size in ((9, 13), (9, 13), (12, 10)):
        run(unet, size, [one])
    assert len(sizes) == len(set(sizes)) == 2 * 4


def test_tiles_are_refused_because_nobody_knows_where_they_lie(unet: nn.Module) -> None:
    one = branch(unet, Region(left_half(16, 24), latent_size=(16, 24)))
    run(unet, (16, 24), [one])
    with pytest.raises(HostError, match=r"tiles \(12 x 16 of 24 x 16 latent cells arrived\).*switch off the tiles"):
        run(unet, (16, 12), [one])


def test_a_unet_that_is_resized_inside_is_refused(unet: nn.Module) -> None:
    def shrink(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
        return nn.functional.interpolate(out, size=(7, 7))

    handle = unet.get_submodule("conv_in").register_forward_hook(shrink)
    try:
        with pytest.raises(HostError, match=r"size inside the UNet \(49 tokens arrived for 8 x 8"):
            run(unet, (8, 8), [branch(unet, Region(torch.ones(8, 8)))])
    finally:
        handle.remove()


def test_a_unit_that_rests_refuses_nothing(unet: nn.Module) -> None:
    resting = branch(unet, Region(torch.ones(8, 8), latent_size=(50, 50)))
    quiet = replace(resting, layers=even(resting.key_values, 0.0))
    assert torch.equal(run(unet, (8, 8), [quiet]), run(unet, (8, 8), []))
    with pytest.raises(HostError, match="tiles"):
        run(unet, (8, 8), [quiet, resting])
