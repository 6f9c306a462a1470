"""Another UNet in the middle of sampling: a refiner, a checkpoint of the X/Y/Z grid, and the way back."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch

from lib_ipadapter.errors import HostError
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from tests.hooks import hook_count
from tests.models import tiny_unet
from tests.patch.trees import narrow_tree
from tests.session.fake_host import FakeHost, run, unit

LIBRARY = Library()


def test_hooks_move_to_a_unet_that_takes_over(host: FakeHost) -> None:
    first, second = host.loaded, tiny_unet(seed=1)
    with Generation(host, [unit()], LIBRARY):
        host.run(0.0)
        host.loaded = second
        moved = host.run(0.5)
        assert hook_count(first) == 0
        assert hook_count(second) == 2 * 16 + 2
    assert hook_count(second) == 0
    with Generation(host, [unit()], LIBRARY):
        assert torch.equal(host.run(0.5), moved)
    assert not torch.equal(run(second), moved)
    assert host.notices == []


def test_what_failed_and_was_let_pass_does_not_come_back_with_the_refiner(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeHost, "fail", lambda self, error: self.notices.append(str(error)))
    first, second = host.loaded, tiny_unet(seed=1)
    plain = run(second)
    with Generation(host, [unit()], LIBRARY) as generation:
        generation._fail(HostError("Something divides the batch."))
        assert (hook_count(first), host.listeners) == (0, [])
        host.loaded = second
        assert torch.equal(host.run(0.5), plain)
    assert host.notices == ["Something divides the batch."]


def test_the_old_unet_is_not_kept(host: FakeHost) -> None:
    with Generation(host, [unit()], LIBRARY):
        host.run(0.0)
        old = weakref.ref(host.loaded)
        host.loaded = tiny_unet(seed=1)
        host.run(0.5)
        gc.collect()
        assert old() is None


@pytest.mark.parametrize("failing", [False, True])
def test_after_the_end_no_unet_is_kept_by_the_generation(failing: bool, host: FakeHost) -> None:
    generation = Generation(host, [unit("nowhere" if failing else "base")], LIBRARY)
    try:
        with generation:
            host.run()
    except Exception:
        assert failing
    old = weakref.ref(host.loaded)
    host.loaded = tiny_unet(seed=1)
    gc.collect()
    assert old() is None


def misfits() -> list[torch.nn.Module]:
    return [narrow_tree(), torch.nn.Linear(4, 4)]


@pytest.mark.parametrize("misfit", misfits(), ids=["other widths", "no cross-attention"])
def test_where_the_adapter_does_not_fit_it_rests_with_one_notice(misfit: torch.nn.Module, host: FakeHost) -> None:
    first = host.loaded
    with Generation(host, [unit(), unit("plus")], LIBRARY) as generation:
        host.run(0.0)
        host.loaded = misfit
        for step in range(3):
            for begin_step in host.listeners:
                begin_step(0.5 + step / 10, ())
        assert hook_count(misfit) == hook_count(first) == 0
        assert len(generation.units) == 2
    assert len(host.notices) == 1
    assert host.notices[0].startswith("IP-Adapter rests from here on: ")
    assert "\n" not in host.notices[0]


def test_back_on_its_own_checkpoint_the_adapter_acts_again(host: FakeHost) -> None:
    own = host.loaded
    with Generation(host, [unit()], LIBRARY):
        acting = host.run(0.0)
        host.loaded = narrow_tree()
        for begin_step in host.listeners:
            begin_step(0.5, ())
        host.loaded = own
        assert torch.equal(host.run(0.0), acting)
    assert hook_count(own) == 0
