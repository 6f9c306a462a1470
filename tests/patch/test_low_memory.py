"""Weights that are elsewhere until their block runs, as with ``--medvram`` and ``--lowvram``."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.patch.trees import LdmTree, SpatialTransformer, narrow_tree


class Elsewhere:
    """Keeps a block's weights; until it runs they are on the meta device, where nothing can be read."""

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
    kvs = [KeyValue(*torch.randn(2, 2, 5, layer.width)) for layer in cross_attentions(unet)]
    return ImageBranch(kvs)


def run(unet: nn.Module, *branches: ImageBranch) -> Tensor:
    torch.manual_seed(1)
    moment = Moment()
    with torch.no_grad(), attach(unet, branches, moment):
        moment.begin_step(0.0, [Role.CONDITIONAL, Role.UNCONDITIONAL])
        return unet(torch.randn(2, 4, 3, 4), context=torch.randn(2, 7, 12))


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
