"""Two hooks on ldm's own CrossAttention are the paper's formula, whichever body the host has put on the class."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.models import even
from tests.patch.bodies import BODIES
from tests.patch.trees import SD15, SDXL, LdmTree, Structure, ldm_attention, narrow_tree, sgm_attention

TREES = {"ldm": (SD15, ldm_attention), "sgm": (SDXL, sgm_attention)}
ROLES = [Role.CONDITIONAL, Role.CONDITIONAL, Role.UNCONDITIONAL]


def unet_input(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {"x": torch.randn(3, 4, 3, 4, dtype=dtype), "context": torch.randn(3, 7, 12, dtype=dtype)}


def key_values(unet: nn.Module, seed: int = 2) -> list[KeyValue]:
    """Of one picture, for every layer in checkpoint order."""
    torch.manual_seed(seed)
    return [KeyValue(*torch.randn(2, 2, 5, layer.width)) for layer in cross_attentions(unet)]


def attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    parts = []
    for q, k, v in zip(*(t.chunk(heads, dim=-1) for t in (query, key, value)), strict=True):
        parts.append((q @ k.transpose(1, 2) / q.shape[-1] ** 0.5).softmax(-1) @ v)
    return torch.cat(parts, dim=-1)


def formula(unet: LdmTree, kvs: list[KeyValue], scale: float, inputs: dict[str, Tensor]) -> Tensor:
    """``to_out(Attn(Q, K, V) + scale * Attn(Q, K', V'))`` in every layer, and no hook anywhere."""
    by_module = {unet.get_submodule(f"{layer.name}"): kvs[layer.index] for layer in cross_attentions(unet)}

    def forward(self: nn.Module, x: Tensor, context: Tensor, **_: object) -> Tensor:
        query, text = self.to_q(x), (self.to_k(context), self.to_v(context))
        image = (part[[int(role) for role in ROLES]] for part in (by_module[self].key, by_module[self].value))
        hidden = attention(query, *text, self.heads) + scale * attention(query, *image, self.heads)
        return self.to_out(hidden)

    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(type(next(iter(by_module))), "forward", forward)
        return unet(**inputs)


def hooked(unet: LdmTree, kvs: list[KeyValue], scale: float, inputs: dict[str, Tensor]) -> Tensor:
    moment = Moment()
    with torch.no_grad(), attach(unet, [ImageBranch(kvs, layers=even(kvs, scale))], moment):
        moment.begin_step(0.0, ROLES)
        return unet(**inputs)


def put_on_class(body: str, unet: LdmTree, monkeypatch: pytest.MonkeyPatch) -> None:
    if forward := BODIES[body]:
        monkeypatch.setattr(type(unet.middle_block[1].transformer_blocks[0].attn2), "forward", forward)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("body", BODIES)
def test_two_hooks_are_the_papers_formula(tree: str, body: str, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = narrow_tree(*TREES[tree])
    kvs = key_values(unet)
    wanted = formula(unet, kvs, 0.7, unet_input())
    put_on_class(body, unet, monkeypatch)
    torch.testing.assert_close(hooked(unet, kvs, 0.7, unet_input()), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("tree", TREES)
@pytest.mark.parametrize("body", BODIES)
def test_after_removal_each_body_gives_the_same_bits_as_before(
    tree: str, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = narrow_tree(*TREES[tree])
    put_on_class(body, unet, monkeypatch)
    with torch.no_grad():
        before = unet(**unet_input())
        with_picture = hooked(unet, key_values(unet), 1.0, unet_input())
        assert torch.equal(unet(**unet_input()), before)
    assert (with_picture - before).abs().max() > 0.01


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("body", ["split", "indexing", "unpacking", "upcasting"])
def test_half_precision_stays_half_and_is_as_exact_as_it_can_be(
    dtype: torch.dtype, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = narrow_tree().to(dtype)
    kvs, inputs = key_values(unet), unet_input(dtype)
    exact = formula(unet.float(), kvs, 0.7, {name: tensor.float() for name, tensor in inputs.items()})
    put_on_class(body, unet, monkeypatch)
    out = hooked(unet.to(dtype), kvs, 0.7, inputs)
    assert out.dtype == dtype
    assert (out.float() - exact).abs().max() < 30 * torch.finfo(dtype).eps * exact.abs().max()


def test_each_row_of_a_batch_is_as_it_would_be_alone() -> None:
    unet = narrow_tree()
    kvs, inputs = key_values(unet), unet_input()
    together = hooked(unet, kvs, 0.7, inputs)
    for row, role in enumerate(ROLES):
        moment = Moment()
        with torch.no_grad(), attach(unet, [ImageBranch(kvs, layers=even(kvs, 0.7))], moment):
            moment.begin_step(0.0, [role])
            alone = unet(**{name: tensor[row : row + 1] for name, tensor in inputs.items()})
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("structure", [SD15, SDXL])
def test_each_layer_gets_the_keys_of_its_own_number(structure: Structure) -> None:
    """With every picture's values zero but one layer's, the output changes, and for each layer differently."""
    unet = narrow_tree(structure)
    silent = [KeyValue(kv.key, torch.zeros_like(kv.value)) for kv in key_values(unet)]
    loud, outputs = key_values(unet), []
    for index in (0, len(silent) // 2, len(silent) - 1):
        kvs = [loud[i] if i == index else kv for i, kv in enumerate(silent)]
        outputs.append(hooked(unet, kvs, 1.0, unet_input()))
        torch.testing.assert_close(outputs[-1], formula(unet, kvs, 1.0, unet_input()), rtol=1e-4, atol=1e-5)
    assert all((one - other).abs().max() > 1e-3 for one, other in zip(outputs, outputs[1:] + outputs[:1], strict=True))
