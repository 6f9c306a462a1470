"""The LoRA of a FaceID file acts as if it were merged into the weights, and leaves not a bit behind."""

from __future__ import annotations

import copy
import gc
import weakref
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.model.lora import MODULES, LoRA, LowRank, lora_tensors
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.patch.moment import Moment, Role
from tests.hooks import attributes, hook_count
from tests.models import even, image_prompt, tiny_adapter, tiny_unet
from tests.patch import test_against_diffusers as diffusers_case
from tests.patch.bodies import indexing
from tests.patch.trees import (
    SD15,
    SDXL,
    CrossAttention,
    LdmTree,
    TransformerBlock,
    ldm_attention,
    narrow_tree,
    sgm_attention,
)

ROLES = [Role.CONDITIONAL, Role.UNCONDITIONAL]
UNETS = {
    "ldm": lambda: narrow_tree(SD15, ldm_attention),
    "sgm": lambda: narrow_tree(SDXL, sgm_attention),
    "diffusers": tiny_unet,
}


def with_self_attention(self: TransformerBlock, x: Tensor, context: Tensor) -> Tensor:
    x = x + self.attn1(x)
    return x + self.attn2(x, context=context)


@pytest.fixture(autouse=True)
def trees_run_self_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TransformerBlock, "forward", with_self_attention)


def linears(unet: nn.Module) -> Callable[[int, str], nn.Linear]:
    """The map that a key of the file belongs to, by names alone."""
    layers = [layer.name for layer in cross_attentions(unet)]

    def linear(number: int, projection: str) -> nn.Linear:
        cross = layers[number // 2]
        layer = cross if number % 2 else cross[: -len("attn2")] + "attn1"
        found = unet.get_submodule(layer + "." + {"to_out": "to_out.0"}.get(projection, projection))
        assert isinstance(found, nn.Linear)
        return found

    return linear


def random_lora(unet: nn.Module, seed: int = 3, rank: int = 2) -> LoRA:
    """For every projection of every attention layer, large enough to be seen."""
    torch.manual_seed(seed)
    linear = linears(unet)

    def factors(number: int, projection: str) -> LowRank:
        outputs, inputs = linear(number, projection).weight.shape
        return LowRank(down=torch.randn(rank, inputs) / inputs**0.5, up=torch.randn(outputs, rank) * 0.3)

    numbers = range(2 * len(cross_attentions(unet)))
    return {number: {name: factors(number, name) for name in MODULES} for number in numbers}


def merged(unet: nn.Module, lora: LoRA, scale: float = 1.0) -> nn.Module:
    """A copy with ``W + scale * up down`` for weights."""
    unet = copy.deepcopy(unet)
    linear = linears(unet)
    for number, projections in lora.items():
        for projection, low_rank in projections.items():
            linear(number, projection).weight.data += scale * low_rank.up @ low_rank.down
    return unet


def branch(unet: nn.Module, seed: int = 2, **values: object) -> ImageBranch:
    torch.manual_seed(seed)
    kvs = [KeyValue(*torch.randn(2, 2, 5, layer.width)) for layer in cross_attentions(unet)]
    return ImageBranch(kvs, **values)  # pyright: ignore[reportArgumentType]


def run(unet: nn.Module) -> Tensor:
    """One call of two rows."""
    torch.manual_seed(1)
    context = torch.randn(2, 7, cross_attentions(unet)[0].context)
    with torch.no_grad():
        if isinstance(unet, LdmTree):
            return unet(torch.randn(2, 4, 3, 4), context=context)
        return unet(torch.randn(2, 4, 8, 8), torch.tensor(500), encoder_hidden_states=context).sample


def attached(unet: nn.Module, *branches: ImageBranch, progress: float = 0.0) -> Tensor:
    moment = Moment()
    with attach(unet, branches, moment):
        moment.begin_step(progress, ROLES)
        return run(unet)


@pytest.mark.parametrize(("make", "lora_scale"), [*zip(UNETS.values(), [1.0, 0.4, 0.4], strict=True)], ids=UNETS)
def test_hooks_give_what_merged_weights_give_in_both_rows(make, lora_scale: float) -> None:
    unet = make()
    lora = random_lora(unet)
    by_hook = attached(unet, branch(unet, lora=lora, lora_scale=lora_scale))
    by_weight = attached(merged(unet, lora, lora_scale), branch(unet))
    # Relative to the largest: through SDXL's 140 layers of random weights float32 loses some digits.
    assert (by_hook - by_weight).abs().max() < 1e-4 * by_weight.abs().max()
    for row in by_hook - attached(unet, branch(unet)):
        assert row.abs().max() > 0.01


@pytest.mark.parametrize("number", [0, 1, 17, 30, 31])
@pytest.mark.parametrize("projection", MODULES)
def test_each_part_belongs_to_its_own_map(number: int, projection: str) -> None:
    """One map at a time, so that no mistake can hide behind the sum of all."""
    unet = narrow_tree()
    lora = {number: {projection: random_lora(unet)[number][projection]}}
    by_hook = attached(unet, branch(unet, lora=lora))
    torch.testing.assert_close(by_hook, attached(merged(unet, lora), branch(unet)), rtol=1e-4, atol=1e-5)
    assert (by_hook - attached(unet, branch(unet))).abs().max() > 1e-4


def test_the_picture_is_asked_with_the_query_that_has_the_lora() -> None:
    """The text has nothing to say here, so what changes the output is the query of the image branch."""
    unet = narrow_tree()
    for number in range(1, 32, 2):
        linears(unet)(number, "to_v").weight.data.zero_()
    lora = {n: {"to_q": parts["to_q"]} for n, parts in random_lora(unet).items() if n % 2}
    by_hook = attached(unet, branch(unet, lora=lora))
    torch.testing.assert_close(by_hook, attached(merged(unet, lora), branch(unet)), rtol=1e-4, atol=1e-5)
    assert (by_hook - attached(unet, branch(unet))).abs().max() > 1e-3


def test_numbers_and_values_are_those_of_diffusers() -> None:
    """diffusers names the UNet's maps itself; merging what it names, under its own image branch, is the oracle."""
    adapter, ours, theirs = tiny_adapter(Kind.BASE), tiny_unet(), tiny_unet()
    lora = random_lora(ours)
    tensors = {key.removeprefix("ip_adapter."): tensor for key, tensor in lora_tensors(lora).items()}
    state = {
        "image_proj": adapter.image_proj.state_dict(),
        "ip_adapter": {**adapter.ip_adapter.state_dict(), **tensors},
    }
    named = theirs._load_ip_adapter_loras([state])[0]
    for key, down in named.items():
        if key.endswith("_lora.down.weight"):
            place = key.removeprefix("unet.").removesuffix("_lora.down.weight").replace(".processor", "")
            module = theirs.get_submodule(place)
            module = module[0] if place.endswith("to_out") else module  # pyright: ignore[reportIndexIssue]
            module.weight.data += named[key.replace(".down.", ".up.")] @ down  # pyright: ignore
    assert len(named) == 2 * 4 * 32
    theirs._load_ip_adapter_weights([state | {"ip_adapter": adapter.ip_adapter.state_dict()}], low_cpu_mem_usage=False)
    rows = torch.cat(diffusers_case.features(Kind.BASE))[:, None]
    inputs, moment = diffusers_case.unet_input(), Moment()
    kvs = adapter.key_values(image_prompt(adapter, *diffusers_case.features(Kind.BASE)).stacked())
    ours_branch = ImageBranch(kvs, lora=lora)
    with torch.no_grad(), attach(ours, [ours_branch], moment):
        moment.begin_step(0.0, ROLES)
        found = ours(**inputs).sample
        wanted = theirs(**inputs, added_cond_kwargs={"image_embeds": [rows]}).sample
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=3e-5)


@pytest.mark.parametrize("make", UNETS.values(), ids=UNETS)
def test_afterwards_the_unet_is_as_before_bit_for_bit(make) -> None:
    unet = make()
    before, written = run(unet), attributes(unet)
    weights = copy.deepcopy(unet.state_dict())
    attached(unet, branch(unet, lora=random_lora(unet)), branch(unet, 5, lora=random_lora(unet, 6)))
    assert hook_count(unet) == 0
    assert attributes(unet) == written
    assert all(torch.equal(weights[key], tensor) for key, tensor in unet.state_dict().items())
    assert torch.equal(run(unet), before)


def test_an_exception_on_the_way_leaves_no_hook_and_the_next_run_as_before() -> None:
    unet = narrow_tree()
    before = run(unet)
    with pytest.raises(ZeroDivisionError), attach(unet, [branch(unet, lora=random_lora(unet))], Moment()):
        raise ZeroDivisionError
    assert hook_count(unet) == 0
    assert torch.equal(run(unet), before)


@pytest.mark.parametrize("silent", [{"lora_scale": 0.0}, {"lora": {}}])
def test_without_strength_or_without_a_lora_no_hook_is_set_for_it(silent: dict[str, object]) -> None:
    unet = narrow_tree()
    lora = {"lora": random_lora(unet)}
    with attach(unet, [branch(unet, **(lora | silent))], Moment()):
        assert hook_count(unet) == 2 * 16 + 2
    assert torch.equal(attached(unet, branch(unet, **(lora | silent))), attached(unet, branch(unet)))


@pytest.mark.parametrize("silent", [{"layers": even(range(16), 0.0)}, {"schedule": Schedule(0.5, 1.0)}])
def test_a_unit_that_does_not_act_changes_no_bit_by_its_lora_either(silent: dict[str, object]) -> None:
    unet = narrow_tree()
    assert torch.equal(attached(unet, branch(unet, lora=random_lora(unet), **silent)), run(unet))


def test_the_lora_is_there_in_the_steps_of_its_unit_only() -> None:
    unet = narrow_tree()
    lora = random_lora(unet)
    part = branch(unet, lora=lora, schedule=Schedule(0.25, 0.75))
    plain, acting = run(unet), attached(unet, branch(unet, lora=lora))
    outputs = [attached(unet, part, progress=step / 4) for step in range(4)]
    assert [torch.equal(out, plain) for out in outputs] == [True, False, False, True]
    assert torch.equal(outputs[1], acting)


def test_outside_a_step_the_lora_does_nothing() -> None:
    unet, moment = narrow_tree(), Moment()
    with attach(unet, [branch(unet, lora=random_lora(unet))], moment):
        moment.begin_step(0.0, [])
        out = run(unet)
    assert torch.equal(out, run(unet))


def test_the_loras_of_two_units_add_up() -> None:
    unet = narrow_tree()
    one, other = random_lora(unet, 3), random_lora(unet, 4)
    both = attached(unet, branch(unet, 2, lora=one), branch(unet, 5, lora=other))
    wanted = attached(merged(merged(unet, one), other), branch(unet, 2), branch(unet, 5))
    torch.testing.assert_close(both, wanted, rtol=1e-4, atol=2e-5)


def test_a_lora_that_two_units_have_acts_once_at_the_largest_strength_of_those_that_act() -> None:
    unet = narrow_tree()
    lora = random_lora(unet)
    early = branch(unet, 2, lora=lora, lora_scale=0.8, schedule=Schedule(0.0, 0.5))
    weak = branch(unet, 5, lora=lora, lora_scale=0.3)
    for progress, scale in ((0.0, 0.8), (0.5, 0.3)):
        by_hook = attached(unet, early, weak, progress=progress)
        plain = (branch(unet, 2, schedule=early.schedule), branch(unet, 5))
        wanted = attached(merged(unet, lora, scale), *plain, progress=progress)
        torch.testing.assert_close(by_hook, wanted, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_half(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    unet = narrow_tree()
    lora = random_lora(unet)
    exact = attached(merged(unet, lora), branch(unet))
    monkeypatch.setattr(CrossAttention, "forward", indexing)
    half, moment, unit = copy.deepcopy(unet).to(dtype), Moment(), branch(unet, lora=lora)
    torch.manual_seed(1)
    context = torch.randn(2, 7, 12).to(dtype)
    with torch.no_grad(), attach(half, [unit], moment):
        moment.begin_step(0.0, ROLES)
        out = half(torch.randn(2, 4, 3, 4).to(dtype), context=context)
    assert out.dtype == dtype
    assert (out.float() - exact).abs().max() < 30 * torch.finfo(dtype).eps * exact.abs().max()


def test_factors_are_cast_once_and_not_in_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CrossAttention, "forward", indexing)
    unet, moment, counted = narrow_tree().to(torch.bfloat16), Moment(), Counter()
    lora = random_lora(unet)
    ups = {id(parts["to_q"].up) for parts in lora.values()}
    original = Tensor.to

    def counting(self: Tensor, *args: object, **kwargs: object) -> Tensor:
        counted[id(self)] += id(self) in ups
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Tensor, "to", counting)
    with torch.no_grad(), attach(unet, [branch(unet, lora=lora)], moment):
        moment.begin_step(0.0, ROLES)
        for _ in range(3):
            unet(torch.ones(2, 4, 3, 4).bfloat16(), context=torch.ones(2, 7, 12).bfloat16())
    assert {counted[key] for key in ups} == {1}


def test_after_removal_neither_unet_nor_factors_are_kept() -> None:
    unet = narrow_tree()
    lora = random_lora(unet)
    attached(unet, branch(unet, lora=lora))
    gone = [weakref.ref(unet), weakref.ref(lora[0]["to_q"].up)]
    del unet, lora
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_a_unet_that_lacks_the_map_gets_a_sentence_and_no_hook() -> None:
    unet = narrow_tree()
    lora = random_lora(unet)
    del unet.middle_block[1].transformer_blocks[0].attn1  # pyright: ignore
    with pytest.raises(HostError, match=r"has no middle_block.*attn1\.to_q, .* or set lora_scale to 0\."):
        attached(unet, branch(unet, lora=lora))
    assert hook_count(unet) == 0
