"""The whole way: from what a user asked to hooks on the UNet, and back to a UNet as it was."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lib_ipadapter.errors import HostError, IPAdapterError, UnitError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.moment import Moment
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.hooks import attributes, hook_count
from tests.models import even, image_prompt, tiny_unet
from tests.patch.trees import narrow_tree
from tests.session.fake_host import ROLES, FakeHost, picture, run, unit

LIBRARY = Library()


def generate(host: FakeHost, *units: Unit, progress: float = 0.0) -> Tensor:
    with Generation(host, units, LIBRARY):
        return host.run(progress)


def by_hand(host: FakeHost, model: str, scale: float) -> Tensor:
    """The same from the floors below, step by step."""
    adapter = IPAdapter.read(host.folder / "adapters" / f"{model}.safetensors")
    encoder = ImageEncoder.read(host.folder / "encoders" / "tiny")
    seen = encoder.encode(picture(), host.device, host.dtype).get(adapter.variant.feature)
    zeros = encoder.encode_zeros(host.device, host.dtype).hidden_states
    nothing = torch.zeros_like(seen) if adapter.variant.kind is Kind.BASE else zeros
    moment = Moment()
    key_values = adapter.key_values(image_prompt(adapter, seen, nothing).stacked())
    branch = ImageBranch(key_values, layers=even(key_values, scale))
    with attach(host.loaded, [branch], moment):
        moment.begin_step(0.0, ROLES)
        return run(host.loaded)


@pytest.mark.parametrize("model", ["base", "plus", "full"])
@pytest.mark.parametrize("scale", [0.3, 1.0])
def test_from_a_picture_to_the_unets_output_is_what_the_floors_below_give(
    model: str, scale: float, host: FakeHost
) -> None:
    plain = run(host.loaded)
    out = generate(host, unit(model, scale=scale))
    assert torch.equal(out, by_hand(host, model, scale))
    assert (out - plain).abs().max() > 1e-3


def test_two_units_add_up_and_the_order_they_are_given_in_changes_no_bit(host: FakeHost) -> None:
    units = [unit("base"), unit("plus", seed=1, scale=0.5), unit("base", seed=2, end=0.5)]
    outputs = [generate(host, *order) for order in itertools.permutations(units)]
    assert all(torch.equal(out, outputs[0]) for out in outputs)
    assert not torch.equal(outputs[0], generate(host, *units[:2]))


def test_an_inactive_unit_beside_an_active_one_changes_no_bit(host: FakeHost) -> None:
    assert torch.equal(generate(host, unit(), unit("plus", scale=0), Unit(enabled=False)), generate(host, unit()))


INACTIVE = [{"enabled": False}, {"scale": 0}, {"start": 0.5, "end": 0.5}, {"start": 0.8, "end": 0.1}]


@pytest.mark.parametrize("values", INACTIVE)
def test_an_inactive_unit_sets_no_hook_and_loads_nothing(
    values: dict[str, object], host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, library = run(host.loaded), Library()
    for owner in (ImageEncoder, IPAdapter):
        monkeypatch.setattr(owner, "read", lambda *_: pytest.fail("was read"))
    monkeypatch.setattr(FakeHost, "unet", lambda _: pytest.fail("was asked for"))
    with Generation(host, [unit("not even there", **values)], library):
        assert hook_count(host.loaded) == 0
        assert host.listeners == []
        assert torch.equal(host.run(), plain)


@pytest.mark.parametrize(("start", "end"), [(0.25, 0.75), (0.0, 0.5), (0.5, 1.0)])
def test_a_unit_acts_from_its_start_to_its_end(start: float, end: float, host: FakeHost) -> None:
    plain = run(host.loaded)
    with Generation(host, [unit(start=start, end=end)], LIBRARY):
        acted = [not torch.equal(host.run(step / 8), plain) for step in range(8)]
    assert acted == [start <= step / 8 < end for step in range(8)]


def test_only_the_conditional_row_sees_the_picture(host: FakeHost) -> None:
    outputs = [generate(host, unit(seed=seed)) for seed in (0, 1)]
    assert not torch.equal(outputs[0][0], outputs[1][0])
    torch.testing.assert_close(outputs[0][1], outputs[1][1])


def test_afterwards_the_unet_is_as_before(host: FakeHost) -> None:
    plain, written = run(host.loaded), attributes(host.loaded)
    for _ in range(20):
        with Generation(host, [unit(), unit("plus")], LIBRARY):
            assert attributes(host.loaded) == written
    assert hook_count(host.loaded) == 0
    assert host.listeners == []
    assert attributes(host.loaded) == written
    assert torch.equal(run(host.loaded), plain)


def test_a_generation_may_be_closed_twice_and_opened_again(host: FakeHost) -> None:
    generation = Generation(host, [unit()], LIBRARY)
    outputs = []
    for _ in range(2):  # hires fix comes twice
        with generation:
            outputs.append(host.run())
        generation.close()
    assert torch.equal(*outputs)
    assert hook_count(host.loaded) == 0


def test_an_exception_in_a_step_leaves_nothing(host: FakeHost) -> None:
    with pytest.raises(KeyboardInterrupt), Generation(host, [unit()], LIBRARY):
        raise KeyboardInterrupt
    assert hook_count(host.loaded) == 0
    assert host.listeners == []


def without_image(host: FakeHost) -> Unit:
    return Unit(model="base")


def without_model(host: FakeHost) -> Unit:
    return Unit(image=picture())


def unknown_model(host: FakeHost) -> Unit:
    return unit("nowhere")


def damaged_model(host: FakeHost) -> Unit:
    (host.folder / "adapters" / "web.safetensors").write_text("<html>")
    return unit("web")


def other_checkpoint(host: FakeHost) -> Unit:
    host.loaded = narrow_tree()
    return unit("base")


def no_checkpoint(host: FakeHost) -> Unit:
    host.loaded = torch.nn.Linear(1, 1)
    return unit("base")


def no_encoder(host: FakeHost) -> Unit:
    (host.folder / "encoders" / "tiny" / "config.json").unlink()
    (host.folder / "encoders" / "tiny" / "model.safetensors").unlink()
    return unit("base")


FAILURES = {
    without_image: "without a reference picture",
    without_model: "without a model",
    unknown_model: "no IP-Adapter model called 'nowhere'; found base, full, plus",
    damaged_model: "web.safetensors is a web page",
    other_checkpoint: "base does not fit the loaded checkpoint: .* choose another model or checkpoint",
    no_checkpoint: "has no cross-attention layers that IP-Adapter knows; load an SD1.5 or SDXL checkpoint",
    no_encoder: "No image encoder for this adapter: it needs .*; put its folder or file into",
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_is_one_sentence_before_sampling_and_leaves_nothing(
    failure: Callable[[FakeHost], Unit], own_host: FakeHost
) -> None:
    generation = Generation(own_host, [failure(own_host)], Library())
    with pytest.raises(IPAdapterError, match=FAILURES[failure]) as error, generation:
        pytest.fail("sampling has begun")
    assert "\n" not in str(error.value)
    assert str(error.value).endswith(".")
    assert hook_count(own_host.loaded) == 0
    assert own_host.listeners == []


def test_the_second_units_failure_takes_the_first_one_back(host: FakeHost) -> None:
    generation = Generation(host, [unit("base"), unit("nowhere")], LIBRARY)
    with pytest.raises(UnitError), generation:
        pytest.fail("sampling has begun")
    assert (generation.branches, generation.variants, hook_count(host.loaded)) == ([], [], 0)
    with pytest.raises(UnitError), generation:  # and again, as before
        pytest.fail("sampling has begun")


def test_a_host_that_cannot_be_followed_leaves_no_hook(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise HostError("No.")

    monkeypatch.setattr(FakeHost, "follow", refuse)
    with pytest.raises(HostError), Generation(host, [unit()], LIBRARY):
        pytest.fail("sampling has begun")
    assert hook_count(host.loaded) == 0


def test_outside_a_generation_nothing_acts(host: FakeHost) -> None:
    plain = run(tiny_unet())
    generate(host, unit())
    assert torch.equal(host.run(), plain)
