"""The image branch on a CUDA device: the same numbers as on the CPU, and nothing of it left afterwards."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.patch.region import Region
from tests.hooks import hook_count
from tests.models import even, image_prompt, tiny_adapter, tiny_features, tiny_unet

CLOSE = {torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}
"""How far from the CPU's float32 an output may be, as a share of its own length."""


def ldm_tree() -> nn.Module:
    pytest.importorskip("ldm.modules.attention", exc_type=ImportError)
    from tests.patch.trees import narrow_tree

    return narrow_tree()


UNETS: dict[str, Callable[[], nn.Module]] = {"diffusers": tiny_unet, "ldm": ldm_tree}
pytestmark = [
    pytest.mark.usefixtures("exact"),
    pytest.mark.parametrize("dtype", CLOSE, ids=str),
    pytest.mark.parametrize("kind", UNETS),
]


def branches(unet: nn.Module) -> list[ImageBranch]:
    """A picture behind a mask, and a face with a LoRA; all of it on the CPU in float32, as the library keeps it."""
    torch.manual_seed(2)
    mask = torch.zeros(32, 32)
    mask[:, :20] = 1
    picture, face = (tiny_adapter(kind, unet=unet) for kind in (Kind.PLUS, Kind.FACEID))
    found = []
    for adapter, more in ((picture, {"region": Region(mask)}), (face, {"lora": face.lora})):
        known, nothing = (tiny_features(adapter.variant) for _ in range(2))
        kvs = adapter.key_values(image_prompt(adapter, known, nothing).stacked())
        found.append(ImageBranch(kvs, layers=even(kvs, 0.8), **more))
    return found


def called(unet: nn.Module) -> Tensor:
    """One step of two rows, where and in what the UNet's weights are."""
    torch.manual_seed(1)
    like = next(unet.parameters())
    latents = torch.randn(2, 4, 16, 16).to(like)
    text = torch.randn(2, 77, cross_attentions(unet)[0].context).to(like)
    # ldm computes in half precision only within autocast, which the WebUI switches on.
    cast = like.dtype is not torch.float32 and not hasattr(unet, "config")
    with torch.no_grad(), torch.autocast(like.device.type, like.dtype, enabled=cast):
        found: Any = unet(latents, torch.tensor(500, device=like.device), text)
    return getattr(found, "sample", found)


def attached(unet: nn.Module, ours: Sequence[ImageBranch]) -> Tensor:
    moment = Moment()
    with attach(unet, ours, moment):
        moment.begin_step(0.0, [Role.UNCONDITIONAL, Role.CONDITIONAL])
        return called(unet)


def apart(found: Tensor, wanted: Tensor) -> float:
    return float((found.cpu().float() - wanted).norm() / wanted.norm())


def test_branches_add_what_they_add_on_the_cpu_where_the_unet_is(
    kind: str, dtype: torch.dtype, device: torch.device
) -> None:
    unet = UNETS[kind]()
    ours, plain = branches(unet), called(unet)
    wanted = attached(unet, ours)
    assert apart(plain, wanted) > 5 * max(CLOSE.values())
    unet.to(device, dtype)
    found = attached(unet, branches(unet))
    assert (found.device, found.dtype) == (device, dtype) == (called(unet).device, called(unet).dtype)
    assert found.isfinite().all()
    assert apart(found, wanted) < CLOSE[dtype]
    assert apart(called(unet), plain) < CLOSE[dtype]


def test_after_leaving_the_unet_is_bit_equal_to_before_and_no_memory_is_kept(
    kind: str, dtype: torch.dtype, device: torch.device
) -> None:
    unet = UNETS[kind]().to(device, dtype)
    attached(unet, branches(unet))  # what CUDA's libraries take once and for all, they have now
    before, weights = called(unet), {name: tensor.clone() for name, tensor in unet.state_dict().items()}
    gc.collect()
    taken = torch.cuda.memory_allocated()
    assert not torch.equal(attached(unet, branches(unet)), before)
    gc.collect()
    assert torch.cuda.memory_allocated() == taken
    assert hook_count(unet) == 0
    assert all(torch.equal(tensor, weights[name]) for name, tensor in unet.state_dict().items())
    assert torch.equal(called(unet), before)
