"""Which row gets the picture's K and V and which those of nothing, in every layout of the WebUI.

Asserted on the keys that each row is handed. In this file a row's latent holds its true role, to_q hands it on,
and the keys of each role hold the role's number.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.maths.scales import Schedule
from lib_ipadapter.maths.scaling import scaled_attention
from lib_ipadapter.patch import branch
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.moment import Moment, Role
from lib_ipadapter.patch.rows import StepRows
from tests.patch.trees import TransformerBlock, ldm_attention
from tests.patch.webui_denoiser import Denoiser, Options, Prompt

WIDTH = 4
ROLE_NUMBERS = torch.tensor([float(role) for role in sorted(Role)])[:, None, None].expand(-1, 2, WIDTH)


class Probe(nn.Module):
    """A UNet of one layer, whose query is the latent itself."""

    def __init__(self) -> None:
        super().__init__()
        self.input_blocks = nn.ModuleList([TransformerBlock(WIDTH, 3, ldm_attention)])
        nn.init.eye_(self.input_blocks[0].attn2.to_q.weight)

    def forward(self, x: Tensor, timesteps: Tensor | None = None, context: Tensor | None = None) -> Tensor:
        return self.input_blocks[0](x.flatten(2).transpose(1, 2), context)


class Watch:
    """What each row of each UNet call was, and what it was handed."""

    def __init__(self) -> None:
        self.moment = Moment()
        self.unet = Probe()
        self.calls: list[tuple[list[int], list[int]]] = []

    def attention(self, query: Tensor, kv: KeyValue, *more: Any) -> Tensor:
        self.calls.append((query[:, 0, 0].int().tolist(), kv.key[:, 0, 0].int().tolist()))
        return scaled_attention(query, kv, *more)

    def denoiser(self, total_steps: int = 4, **options: object) -> Denoiser:
        return Denoiser(self.unet, self.moment.begin_step, total_steps=total_steps, options=Options(**options))

    def check(self, *rows: int) -> None:
        """Every row got its own; `rows`: how many there were in each UNet call."""
        assert [len(was) for was, _ in self.calls] == list(rows)
        assert all(was == got for was, got in self.calls)


@contextmanager
def watched(schedule: Schedule | None = None) -> Iterator[Watch]:
    watch = Watch()
    kv = KeyValue(ROLE_NUMBERS, ROLE_NUMBERS)
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(branch, "scaled_attention", watch.attention)
        with attach(watch.unet, [ImageBranch([kv], schedule=schedule or Schedule())], watch.moment):
            yield watch


BATCHES = st.integers(1, 4).flatmap(
    lambda batch: st.tuples(*[st.integers(1, 3)] * batch) | st.just((1,) * batch)
)  # fmt: skip
LENGTHS = st.sampled_from([(77, 77), (154, 77), (77, 154), (78, 78)])
SKIPPED = st.frozensets(st.integers(0, 5))


@given(conds=BATCHES, lengths=LENGTHS, together=st.booleans(), skipped=SKIPPED, steps=st.integers(1, 6))
def test_every_row_gets_its_own_in_any_layout(
    conds: tuple[int, ...], lengths: tuple[int, int], together: bool, skipped: frozenset[int], steps: int
) -> None:
    with watched() as watch:
        denoiser = watch.denoiser(steps, batch_cond_uncond=together, skip_uncond=skipped.__contains__)
        for _ in range(steps):
            denoiser(Prompt(conds, *lengths))
    assert all(was == got for was, got in watch.calls)
    assert watch.calls


@given(batch=st.integers(1, 4), conds=st.integers(1, 3), tiles=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_every_row_of_every_tile_gets_its_own(batch: int, conds: int, tiles: tuple[int, int]) -> None:
    with watched() as watch:
        denoiser = watch.denoiser(tiles=tiles)
        for _ in range(2):
            denoiser(Prompt((conds,) * batch))
    calls, pictures = tiles
    watch.check(*[(batch * conds + batch) * pictures] * calls * 2)


@pytest.mark.parametrize("batch", [1, 2, 3, 4])
def test_all_rows_in_one_call(batch: int) -> None:
    with watched() as watch:
        watch.denoiser()(Prompt((1,) * batch))
    watch.check(2 * batch)


@pytest.mark.parametrize("lengths", [(154, 77), (77, 154)])
@pytest.mark.parametrize("batch", [1, 2])
def test_prompts_of_unequal_length_in_separate_calls(lengths: tuple[int, int], batch: int) -> None:
    with watched() as watch:
        watch.denoiser()(Prompt((1,) * batch, *lengths))
    watch.check(batch, batch)


def test_slices_of_batch_size_that_straddle_the_roles() -> None:
    with watched() as watch:
        watch.denoiser(batch_cond_uncond=False)(Prompt((2, 1)))
    assert [was for was, _ in watch.calls] == [[1, 1], [1, 0], [0]]
    watch.check(2, 2, 1)


def test_slices_of_several_conditions_and_prompts_of_unequal_length() -> None:
    with watched() as watch:
        watch.denoiser()(Prompt((3, 2), 154, 77))
    watch.check(4, 1, 2)


def test_unconditional_rows_dropped_in_some_steps() -> None:
    with watched() as watch:
        denoiser = watch.denoiser(skip_uncond=lambda step: step % 2 == 1)
        for _ in range(4):
            denoiser(Prompt((1, 1)))
    watch.check(4, 2, 4, 2)


def test_conditions_joined_by_and() -> None:
    """Their weights act on the UNet's output, so rows are the same whatever they are."""
    with watched() as watch:
        watch.denoiser()(Prompt((3, 1, 2)))
    watch.check(6 + 3)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("together", [True, False])
def test_the_three_chunks_of_instruct_pix2pix(batch: int, together: bool) -> None:
    with watched() as watch:
        watch.denoiser(batch_cond_uncond=together)(Prompt((1,) * batch, edit=True))
    watch.check(*[3 * batch] if together else [batch] * 3)
    assert [role for was, _ in watch.calls for role in was] == [1] * batch + [0] * 2 * batch


def test_a_step_cut_short_does_not_shift_the_next() -> None:
    with watched() as watch:
        denoiser = watch.denoiser(batch_cond_uncond=False)
        denoiser.announced = StepRows([Role.CONDITIONAL, Role.UNCONDITIONAL], [0, 0])
        denoiser.call_model(torch.ones(1, 4, 2, 2), 77)  # and an interrupt, before the unconditional row
        denoiser(Prompt())
    watch.check(1, 1, 1)


def two_steps(prompt: Prompt, **options: Any) -> Watch:
    """In which every row got its own."""
    with watched() as watch:
        denoiser = watch.denoiser(**options)
        for _ in range(2):
            denoiser(prompt)
    assert all(was == got for was, got in watch.calls)
    return watch


@pytest.mark.parametrize("layout", [{}, {"skip_uncond": lambda _: True}, {"batch_cond_uncond": False}])
@pytest.mark.parametrize("lengths", [(77, 77), (154, 77)])
@pytest.mark.parametrize("conds", [(1,), (1, 1), (2, 1, 1)])
def test_every_row_gets_its_own_where_an_extension_asks_for_all_rows_again(
    conds: tuple[int, ...], lengths: tuple[int, int], layout: Any
) -> None:
    watch = two_steps(Prompt(conds, *lengths), again=2, **layout)
    every = sum(conds) + len(conds)
    assert [len(was) for was, _ in watch.calls].count(every) >= 2 * 2


@pytest.mark.parametrize("layout", [{}, {"skip_uncond": lambda _: True}, {"batch_cond_uncond": False}, {"again": 1}])
@pytest.mark.parametrize("lengths", [(77, 77), (154, 77)])
@pytest.mark.parametrize("conds", [(1,), (1, 1), (2, 1, 1)])
def test_every_row_gets_its_own_where_an_extension_asks_for_the_unconditional_rows_again(
    conds: tuple[int, ...], lengths: tuple[int, int], layout: Any
) -> None:
    watch = two_steps(Prompt(conds, *lengths), negative_again=2, **layout)
    assert [was for was, _ in watch.calls].count([0] * len(conds)) >= 2 * 2


@pytest.mark.parametrize("window", [1, 3, 4])
def test_every_row_gets_its_own_where_an_extension_makes_windows_of_the_pictures(window: int) -> None:
    with watched() as watch:
        for _ in range(2):
            watch.denoiser(window=window)(Prompt((1,) * 8))
    watch.check(*[2 * min(window, 8 - first) for first in range(0, 8, window)] * 2)


@pytest.mark.parametrize("lengths", [(77, 77), (154, 77)])
def test_several_denoiser_calls_in_one_sampler_step(lengths: tuple[int, int]) -> None:
    """Heun, DPM++ SDE: the WebUI counts calls, and twice as many are announced."""
    with watched(Schedule(0.0, 0.5)) as watch:
        denoiser = watch.denoiser(total_steps=2 * 3)
        for _ in range(2 * 3 - 1):
            denoiser(Prompt((1,), *lengths))
    watch.check(*([2] if lengths[0] == lengths[1] else [1, 1]) * 3)


@pytest.mark.parametrize(("start", "end", "acting"), [(0.0, 0.25, 1), (0.25, 0.75, 2), (0.5, 1.0, 2), (0.9, 1.0, 0)])
def test_a_unit_acts_in_its_own_steps_only(start: float, end: float, acting: int) -> None:
    with watched(Schedule(start, end)) as watch:
        denoiser = watch.denoiser(total_steps=4)
        for _ in range(4):
            denoiser(Prompt())
    watch.check(*[2] * acting)


def test_each_call_says_the_latent_size_of_its_pass() -> None:
    sizes = []
    for size in ((4, 6), (8, 12)):  # hires fix: two passes, each with hooks of its own
        with watched() as watch:
            watch.denoiser()(Prompt((1, 1)), size)
        watch.check(4)
        sizes.append(watch.moment.latent_size)
    assert sizes == [(4, 6), (8, 12)]


def test_a_unet_call_that_no_step_was_announced_for_is_no_silent_plain_picture() -> None:
    with watched() as watch, pytest.raises(HostError, match="without announcing its steps"):
        watch.unet(torch.ones(1, 4, 2, 2), context=torch.zeros(1, 77, 3))


def test_a_step_without_unconditional_rows() -> None:
    """Samplers and hosts that leave them out for good, as diffusers does at CFG scale 1."""
    with watched() as watch:
        watch.moment.begin_step(0.0, [Role.CONDITIONAL] * 2)
        watch.unet(torch.ones(2, 4, 2, 2), context=torch.zeros(2, 77, 3))
    watch.check(2)


@pytest.mark.parametrize("tiles", [(2, 1), (3, 2)])
def test_tiles_of_prompts_of_unequal_length(tiles: tuple[int, int]) -> None:
    with watched() as watch:
        watch.denoiser(tiles=tiles)(Prompt(cond_tokens=154))
    calls, pictures = tiles
    watch.check(*[pictures] * calls * 2)


def test_tiles_of_a_step_that_leaves_the_unconditional_rows_out() -> None:
    with watched() as watch:
        denoiser = watch.denoiser(tiles=(2, 3), skip_uncond=lambda step: step == 1)
        for _ in range(3):
            denoiser(Prompt((1, 1)))
    watch.check(12, 12, 6, 6, 12, 12)


class Items(Watch):
    """Three pictures: their keys hold 1 to 3, and 0 is nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.got: list[int] = []

    def attention(self, query: Tensor, kv: KeyValue, *more: Any) -> Tensor:
        self.got += kv.key[:, 0, 0].int().tolist()
        return scaled_attention(query, kv, *more)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("lengths", [(77, 77), (154, 77)])
@pytest.mark.parametrize("first", [0, 2, 4])
def test_each_picture_of_the_batch_gets_its_own_and_counting_goes_on_across_batches(
    first: int, lengths: tuple[int, int], together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, numbers = Items(), torch.arange(4.0)[:, None, None].expand(-1, 2, WIDTH)
    monkeypatch.setattr(branch, "scaled_attention", watch.attention)
    kvs = [KeyValue(numbers, numbers)]
    with torch.no_grad(), attach(watch.unet, [ImageBranch(kvs)], watch.moment):
        denoiser = watch.denoiser(batch_cond_uncond=together)
        denoiser.first = first
        denoiser(Prompt((2, 1), *lengths))  # an AND in the first picture's prompt
    one, two = 1 + first % 3, 1 + (first + 1) % 3
    assert watch.got == [one, one, two, 0, 0]


def test_where_windows_are_made_no_picture_gets_anothers_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    watch, numbers = Items(), torch.arange(4.0)[:, None, None].expand(-1, 2, WIDTH)
    monkeypatch.setattr(branch, "scaled_attention", watch.attention)
    with torch.no_grad(), attach(watch.unet, [ImageBranch([KeyValue(numbers, numbers)])], watch.moment):
        watch.denoiser()(Prompt((1,) * 3))
        watch.denoiser(window=3)(Prompt((1,) * 3))
        assert watch.got == [1, 2, 3, 0, 0, 0] * 2
        for together in (True, False):
            with pytest.raises(HostError, match="asks for the job's pictures in an order of its own"):
                watch.denoiser(window=2, batch_cond_uncond=together)(Prompt((1,) * 3))


def test_where_windows_are_made_and_both_prompts_are_the_same_nobody_can_tell_them_apart() -> None:
    with watched() as watch:
        watch.denoiser(same_texts=True)(Prompt((1,) * 4))
        watch.denoiser(same_texts=True, window=2, batch_cond_uncond=False)(Prompt((1,) * 4))
        watch.check(8, 2, 2, 2, 2)
        with pytest.raises(HostError, match="cannot tell one from the other; write something into either"):
            watch.denoiser(same_texts=True, window=2)(Prompt((1,) * 4))
