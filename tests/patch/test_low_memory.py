"""Weights that are elsewhere until their block runs, as with ``--medvram`` and ``--lowvram``, and half models."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.patch.bodies import upcasting
from tests.patch.trees import CrossAttention, LdmTree, SpatialTransformer, narrow_tree


class Elsewhere:
    """Keeps a block's weights; on the meta device, where nothing can be read, there is only their shape until it runs."""

    def __init__(self, block: nn.Module) -> None:
        self.kept = {(module, name): p for module in block.modules() for name, p in module._parameters.items()}
        block.register_forward_pre_hook(self.bring)
        block.register_forward_hook(self.send_away)
        self.send_away()

    def bring(self, *_: object) -> None:
        for (module, name), parameter in self.kept.items():
            module._parameters[name] = parameter

    def send_away(self, *_: object) -> None:
        for (module, name), p in self.kept.items():
            module._parameters[name] = p if p is None else nn.Parameter(p.to("meta"), requires_grad=False)


def branch(unet: nn.Module) -> ImageBranch:
    torch.manual_seed(2)
    return ImageBranch([KeyValue(*torch.randn(2, 2, 5, layer.width)) for layer in cross_attentions(unet)])


def run(unet: nn.Module, *branches: ImageBranch, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(1)
    moment = Moment()
    with torch.no_grad(), attach(unet, branches, moment):
        moment.begin_step(0.0, [Role.CONDITIONAL, Role.UNCONDITIONAL])
        return unet(torch.randn(2, 4, 3, 4).to(dtype), context=torch.randn(2, 7, 12).to(dtype))


def blocks(unet: LdmTree) -> list[nn.Module]:
    return [module for module in unet.modules() if isinstance(module, SpatialTransformer)]


def test_weights_that_come_with_their_block_give_the_same_bits() -> None:
    plain, wanted = run(narrow_tree()), run(narrow_tree(), branch(narrow_tree()))
    unet = narrow_tree()
    for block in blocks(unet):
        Elsewhere(block)
    assert {p.device.type for block in blocks(unet) for p in block.parameters()} == {"meta"}
    assert torch.equal(run(unet, branch(unet)), wanted)
    assert torch.equal(run(unet), plain)
    assert not torch.equal(plain, wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_attention_in_float32_inside_a_half_model_stays_half_outside(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = run(narrow_tree(), branch(narrow_tree()))
    monkeypatch.setattr(CrossAttention, "forward", upcasting)
    unet = narrow_tree().to(dtype)
    seen: set[torch.dtype] = set()
    for layer in cross_attentions(unet):
        layer.to_out.register_forward_pre_hook(lambda _, args: seen.add(args[0].dtype))
    half = run(unet, branch(unet), dtype=dtype)
    assert seen == {half.dtype} == {dtype}
    assert (half.float() - wanted).norm() / wanted.norm() < 0.05
