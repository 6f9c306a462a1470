"""What is recorded is the loss and its gradients; where it cannot be, a sentence says so."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.objective import Batch
from lib_ipadapter.training.replay import recorded
from tests.training.world import config, run


def make_batch(seed: int) -> Batch:
    latents, target, text, features = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(seed))
    given = {"text": text, "features": features}
    steps, alphas = torch.tensor([1, 2, 3]), torch.ones(3)
    return Batch(draws=(), given=given, latents=latents, target=target, timesteps=steps, alphas=alphas)


def test_losses_and_gradients_are_those_of_each_batch_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[nn.Module, tuple[Tensor, ...]]] = []
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", lambda module, like: made.append((module, like)))
    trained = nn.Linear(5, 5)

    def losses(batch: Batch) -> Tensor:
        answer = trained(batch.given["features"]) + batch.given["text"] * batch.timesteps[:, None] - batch.latents
        return (answer - batch.target).square().mean(dim=1)

    replay = recorded(trained, losses, make_batch(0))
    ((module, like),) = made
    assert [*module.parameters()] == [*trained.parameters()]  # or they would get no gradients
    assert [tensor.shape for tensor in like] == [(3, 5), (3, 5), (3,), (3, 5), (3, 5)]
    for seed in (1, 2):
        batch = make_batch(seed)
        assert torch.equal(replay(batch), losses(batch))
        mine, theirs = (torch.autograd.grad(found(batch).mean(), trained.weight)[0] for found in (replay, losses))
        assert torch.equal(mine, theirs)


def test_too_little_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(module: nn.Module, like: object) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", full)
    with pytest.raises(TrainingError, match=r"A step of 3 rows cannot be recorded .* smaller --batch-size"):
        recorded(nn.Linear(5, 5), lambda batch: batch.latents, make_batch(0))


def test_without_a_cuda_device_nothing_is_recorded(world: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="needs a single process on a CUDA device"):
        run(world, tmp_path / "out", cuda_graph=True)
    assert not PartialState._shared_state, "another run in this process begins anew"


@pytest.mark.parametrize("other", [{"accumulation": 2}, {"gradient_checkpointing": True}])
def test_what_a_replay_cannot_do_is_refused(other: dict[str, object], world: Path, tmp_path: Path) -> None:
    (name,) = other
    with pytest.raises(TrainingError, match=f"--cuda-graph must be left out with --{name.replace('_', '-')}"):
        config(world, tmp_path, cuda_graph=True, **other)
