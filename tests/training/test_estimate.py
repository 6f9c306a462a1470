"""What a run is said to take is what a step of it takes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.adapters import prepare
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.estimate import Estimate, estimate
from lib_ipadapter.training.frozen import Frozen
from lib_ipadapter.training.trial import blank, check_step
from tests.training.world import config, equal


class Card:
    """A GPU's record of its memory: encoding has taken 4 GiB, and each step takes 1."""

    peak = 4 << 30

    def forget(self, _: torch.device) -> None:
        self.peak = 0

    def step(self) -> None:
        self.peak = max(self.peak, 1 << 30)


def tried(card: Card, device: str, *, resumed: bool = False) -> tuple[nn.Module, Estimate]:
    trained = nn.Linear(8, 4, bias=False)

    def loss() -> Tensor:
        card.step()
        return trained(torch.ones(8)).sum()

    frozen = SimpleNamespace(device=torch.device(device), nbytes=7)
    config = TrainConfig(data=Path(), accumulation=3)
    return trained, estimate(
        frozen=frozen,  # pyright: ignore[reportArgumentType]
        trained=trained,
        loss=loss,
        cached=5,
        steps=10,
        config=config,
        resumed=resumed,
    )


@pytest.mark.parametrize(("resumed", "moments"), [(False, 32 * 8), (True, 0)])
def test_the_peak_of_a_step_is_not_that_of_the_encoding_before_it(
    resumed: bool, moments: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AdamW's moments are not in it, unless the run goes on from a state that has brought them."""
    card = Card()
    monkeypatch.setattr(torch.cuda, "synchronize", lambda _: None)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", card.forget)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda _: card.peak)
    _, found = tried(card, "cuda", resumed=resumed)
    assert found.measured == (1 << 30) + moments
    assert "1.0 GiB at the peak of a step (measured)" in str(found)


def test_trying_a_step_leaves_no_gradient_and_counts_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 100, 2))
    monkeypatch.setattr("lib_ipadapter.training.estimate.time.perf_counter", lambda: next(clock))
    trained, found = tried(Card(), "cpu")
    assert all(parameter.grad is None for parameter in trained.parameters())
    assert found == Estimate(frozen=7, trained=32 * 16, cached=5, measured=0, seconds=2 * 3 * 10)
    assert str(found).endswith("Time: 60 seconds at the speed of one step.")


def test_what_does_not_fit_is_said_of_blank_pictures(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU before anything is encoded."""
    asked = config(world, tmp_path, batch_size=3)
    frozen = Frozen.read(asked, torch.device("cpu"))
    adapter = prepare(frozen.unet, frozen.encoder.sizes, asked)
    before = {name: tensor.clone() for name, tensor in adapter.state_dict().items()}
    check_step(asked, frozen, adapter)
    assert equal(dict(adapter.state_dict()), before)
    assert all(parameter.grad is None for parameter in adapter.parameters())
    assert adapter.variant.feature is not None
    batch = blank(asked, frozen, adapter.variant.feature)
    assert (len(batch.latents), len(batch.given["features"]), len(batch.given["text"])) == (3, 3, 3)

    def full(*_: object) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(frozen, "predict", full)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1 << 30, 8 << 30))
    with pytest.raises(TrainingError, match=r"batch size 3 does not fit into 8.0 GiB of GPU memory"):
        check_step(asked, frozen, adapter)
