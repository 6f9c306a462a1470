"""The hooks leave nothing behind and get along with whoever else works on the same layers."""

from __future__ import annotations

import gc
import itertools
import types
import weakref
from collections.abc import Callable
from contextlib import ExitStack

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.hooks import attributes, hook_count
from tests.models import even
from tests.patch.bodies import BODIES, indexing, split
from tests.patch.trees import CrossAttention, LdmTree, attn2, narrow_tree

ROLES = [Role.CONDITIONAL, Role.UNCONDITIONAL]


def branch(unet: nn.Module, seed: int = 2, scale: float = 1.0, schedule: Schedule | None = None) -> ImageBranch:
    torch.manual_seed(seed)
    kvs = [KeyValue(*torch.randn(2, 2, 5, layer.width)) for layer in cross_attentions(unet)]
    return ImageBranch(kvs, layers=even(kvs, scale), schedule=schedule or Schedule())


def run(unet: nn.Module, moment: Moment | None = None) -> Tensor:
    """One denoiser step of two rows."""
    torch.manual_seed(1)
    inputs = {"x": torch.randn(2, 4, 3, 4), "context": torch.randn(2, 7, 12)}
    if moment:
        moment.begin_step(0.0, ROLES)
    with torch.no_grad():
        return unet(**inputs)


def attached(unet: nn.Module, *branches: ImageBranch) -> Tensor:
    moment = Moment()
    with attach(unet, branches, moment):
        return run(unet, moment)


def test_two_hooks_on_each_layer_two_on_the_unet_and_none_afterwards() -> None:
    unet = narrow_tree()
    with attach(unet, [branch(unet)], Moment()):
        assert hook_count(unet) == 2 * len(attn2(unet)) + 2
    assert hook_count(unet) == 0


def test_nothing_is_written_on_any_module() -> None:
    unet = narrow_tree()
    before, moment = attributes(unet), Moment()
    with attach(unet, [branch(unet)], moment):
        run(unet, moment)
        assert attributes(unet) == before
    assert attributes(unet) == before


def test_an_exception_inside_leaves_no_hook() -> None:
    unet = narrow_tree()
    with pytest.raises(ZeroDivisionError), attach(unet, [branch(unet)], Moment()):
        raise ZeroDivisionError
    assert hook_count(unet) == 0


def out_of_memory(*_: object) -> None:
    raise MemoryError


def test_an_exception_in_any_layer_leaves_the_next_run_as_if_it_had_not_been() -> None:
    unet = narrow_tree()
    plain, fresh = run(unet), attached(unet, branch(unet))
    for layer in attn2(unet).values():
        broken = layer.to_v.register_forward_pre_hook(out_of_memory)
        with pytest.raises(MemoryError):
            attached(unet, branch(unet))
        broken.remove()
        assert torch.equal(run(unet), plain)
    assert torch.equal(attached(unet, branch(unet)), fresh)


def test_a_failure_while_hooks_are_set_removes_those_already_set(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = narrow_tree()
    monkeypatch.setattr(unet.middle_block[1].transformer_blocks[0].attn2.to_q, "register_forward_hook", None)
    with pytest.raises(TypeError), attach(unet, [branch(unet)], Moment()):
        pytest.fail("was entered")
    assert hook_count(unet) == 0


def test_a_hundred_rounds_leave_no_hook_and_change_no_bit() -> None:
    unet = narrow_tree()
    before = run(unet)
    for _ in range(100):
        with attach(unet, [branch(unet)], Moment()):
            pass
    assert hook_count(unet) == 0
    assert torch.equal(run(unet), before)


def test_after_removal_no_reference_keeps_the_unet() -> None:
    unet = narrow_tree()
    moment, ours = Moment(), branch(unet)
    with attach(unet, [ours], moment):
        run(unet, moment)
    gone = weakref.ref(unet)
    del unet
    gc.collect()
    assert gone() is None


def test_pictures_are_added_up() -> None:
    """Twice at half strength is once at full strength, and a silent one beside it changes no bit."""
    unet = narrow_tree()
    full, half = attached(unet, branch(unet)), branch(unet, scale=0.5)
    torch.testing.assert_close(attached(unet, half, half), full, rtol=1e-4, atol=1e-5)
    assert torch.equal(attached(unet, branch(unet), branch(unet, seed=9, scale=0.0)), full)
    assert torch.equal(attached(unet, branch(unet), branch(unet, seed=9, schedule=Schedule(0.5, 1.0))), full)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_hooks_of_several_go_in_any_order(order: tuple[int, ...]) -> None:
    unet, stacks, moment = narrow_tree(), [ExitStack() for _ in range(3)], Moment()
    plain = run(unet)
    for seed, stack in enumerate(stacks):
        stack.enter_context(attach(unet, [branch(unet, seed)], moment if seed == 0 else Moment()))
    for index in order:
        stacks[index].close()
    assert hook_count(unet) == 0
    assert torch.equal(run(unet), plain)


def patch_instances(unet: LdmTree, forward: object) -> None:
    """As extensions do: a function of their own on each layer, without a call of the one before."""
    for module in attn2(unet).values():
        module.forward = types.MethodType(forward, module)


@pytest.mark.parametrize("body", [split, indexing])
@pytest.mark.parametrize("first", ["we", "they"])
@pytest.mark.parametrize("leaves", ["we", "they"])
def test_the_picture_acts_beside_an_extension_that_sets_and_deletes_forward(
    body: object, first: str, leaves: str
) -> None:
    unet, moment, ours = narrow_tree(), Moment(), ExitStack()
    plain, wanted = run(unet), attached(unet, branch(unet))
    if first == "they":
        patch_instances(unet, body)
    ours.enter_context(attach(unet, [branch(unet)], moment))
    if first == "we":
        patch_instances(unet, body)
    torch.testing.assert_close(run(unet, moment), wanted, rtol=1e-4, atol=1e-5)
    if leaves == "we":
        ours.close()
        torch.testing.assert_close(run(unet), plain, rtol=1e-4, atol=1e-5)
    for module in attn2(unet).values():
        del module.forward
    ours.close()
    assert torch.equal(run(unet), plain)


def test_the_attention_of_the_class_may_change_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    unet, moment = narrow_tree(), Moment()
    wanted = attached(unet, branch(unet))
    with attach(unet, [branch(unet)], moment):
        for forward in filter(None, BODIES.values()):
            monkeypatch.setattr(CrossAttention, "forward", forward)
            torch.testing.assert_close(run(unet, moment), wanted, rtol=1e-4, atol=1e-5)
    assert CrossAttention.forward is forward


def test_a_hook_of_somebody_else_on_the_query_is_respected() -> None:
    """A LoRA by hooks: what we see is the query after it, as the text sees it."""
    unet = narrow_tree()
    layers = cross_attentions(unet)
    theirs = [layer.to_q.register_forward_hook(lambda _, __, query: query * 2) for layer in layers]
    by_hook = attached(unet, branch(unet))
    for handle, layer in zip(theirs, layers, strict=True):
        handle.remove()
        layer.to_q.weight.data *= 2
    torch.testing.assert_close(by_hook, attached(unet, branch(unet)))


def by_halves(self: nn.Module, x: Tensor, context: Tensor, **_: object) -> Tensor:
    """A patcher that calls attention on each half of the batch, because it gives them contexts of unequal length."""
    return torch.cat([split(self, *rows) for rows in zip(x.chunk(2), context.chunk(2), strict=True)])


def test_a_patcher_that_divides_the_batch_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = narrow_tree()
    monkeypatch.setattr(CrossAttention, "forward", by_halves)
    with pytest.raises(HostError, match=r"divides the batch .*\(1 of 2 rows arrived\).*switch off one") as error:
        attached(unet, branch(unet))
    assert "\n" not in str(error.value)
    assert hook_count(unet) == 0


def test_a_patcher_that_divides_the_batch_is_no_trouble_while_no_unit_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    unet = narrow_tree()
    monkeypatch.setattr(CrossAttention, "forward", by_halves)
    attached(unet, branch(unet, schedule=Schedule(0.5, 1.0)))


def test_a_query_is_not_kept_for_a_step_in_which_no_unit_acts() -> None:
    unet, moment = narrow_tree(), Moment()
    with attach(unet, [branch(unet, schedule=Schedule(0.0, 0.5))], moment):
        run(unet, moment)
        moment.begin_step(0.5, [Role.CONDITIONAL])
        with torch.no_grad():
            unet(torch.zeros(1, 4, 3, 4), context=torch.zeros(1, 7, 12))


def attention_in(dtype: torch.dtype) -> Callable[..., Tensor]:
    """A body that computes in a precision of its own, as hosts do that upcast attention."""

    def forward(self: nn.Module, x: Tensor, context: Tensor, **_: object) -> Tensor:
        query, key, value = (t.to(dtype) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
        return self.to_out((query @ key.transpose(1, 2)).softmax(-1) @ value)

    return forward


@pytest.mark.parametrize("query", [torch.float32, torch.float64])
@pytest.mark.parametrize("hidden", [torch.float32, torch.float64])
def test_what_goes_on_has_the_precision_that_the_host_gave_it(
    query: torch.dtype, hidden: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet, moment, seen = narrow_tree(), Moment(), []
    monkeypatch.setattr(CrossAttention, "forward", attention_in(hidden))
    layers = cross_attentions(unet)
    for layer in layers:
        layer.to_q.register_forward_hook(lambda _, __, out: out.to(query))
    with attach(unet, [branch(unet)], moment):
        for layer in layers:
            layer.to_out.register_forward_pre_hook(lambda _, args: seen.append(args[0].dtype) or (args[0].float(),))
        run(unet, moment)
    assert set(seen) == {hidden}


def test_a_unet_that_is_replaced_below_its_surface_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    unet, moment = narrow_tree(), Moment()
    monkeypatch.setattr(unet, "forward", lambda x, **_: x)  # TensorRT, a compiled UNet
    with attach(unet, [branch(unet)], moment), pytest.raises(HostError, match="without its own cross-attention layers"):
        run(unet, moment)


@pytest.mark.parametrize("name", ["x", "sample"])
def test_the_latent_is_found_by_position_or_by_any_name(name: str) -> None:
    unet, moment = narrow_tree(), Moment()
    inner = unet.forward
    unet.forward = lambda context, **kwargs: inner(kwargs[name], context=context)
    latent, context = torch.zeros(2, 4, 5, 3), torch.zeros(2, 7, 12)
    with attach(unet, [branch(unet)], moment), torch.no_grad():
        moment.begin_step(0.0, ROLES)
        unet(**{name: latent}, context=context)
    assert moment.latent_size == (5, 3)
