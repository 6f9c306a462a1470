"""Each round of an adapter goes on from the one before, and what a kind's last has reached is what ships."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.training.config import TrainConfig
from pocket import adapters
from pocket.adapters import ROUNDS, train_round


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """What the trainer was asked for; it leaves a state, and an adapter that is its output's name."""
    asked: list[TrainConfig] = []

    def train(config: TrainConfig) -> Path:
        asked.append(config)
        (config.output / f"state-{config.steps:08d}").mkdir(parents=True, exist_ok=True)
        (config.output / "adapter.safetensors").write_text(config.output.name)
        return config.output / "adapter.safetensors"

    monkeypatch.setattr(adapters, "train", train)
    monkeypatch.setattr(adapters, "sha256", lambda path: path.read_text())
    monkeypatch.setattr(adapters.ship, "contents", lambda: {"pocket.safetensors": "models"})
    monkeypatch.setattr(adapters, "write_data", lambda work, *, close_ups: work / f"close-ups {close_ups}")
    return asked


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch) -> dict[Kind, str]:
    """Kind -> whose result was put among the weights."""
    found: dict[Kind, str] = {}
    monkeypatch.setattr(adapters.ship, "adapter", lambda kind, trained: found.update({kind: trained.read_text()}))
    return found


def test_the_rounds_of_a_kind_are_one_after_the_other(
    runs: list[TrainConfig], shipped: dict[Kind, str], tmp_path: Path
) -> None:
    for name in ROUNDS:
        train_round(name, tmp_path)
    assert shipped == {Kind.BASE: "base-whole", Kind.PLUS: "plus-whole"}
    for asked, one in zip(runs, ROUNDS.values(), strict=True):
        before = one.after and tmp_path / one.after / "adapter.safetensors"
        assert (asked.output, asked.warm_start) == (tmp_path / one.name, before)
        assert asked.kind == (None if one.after else one.kind)
        assert asked.resampler_dim == (128 if one.name == "plus-close" else None)
        assert asked.data == tmp_path / f"close-ups {one.close_ups}"
        assert asked.resolution == (64 if one.close_ups else 128)
        assert asked.full_precision == (not one.name.endswith("whole"))
        assert asked.cpu == (not torch.cuda.is_available())
        assert (asked.steps, asked.learning_rate, asked.seed) == (one.steps, one.learning_rate, one.seed)


def test_a_round_that_was_begun_is_gone_on_with(
    runs: list[TrainConfig], shipped: dict[Kind, str], tmp_path: Path
) -> None:
    for _ in range(2):
        train_round("base-close", tmp_path)
    assert [asked.resume for asked in runs] == [True, True]
    assert shipped == {}


def test_processes_share_a_batch_and_the_first_ships(
    runs: list[TrainConfig], shipped: dict[Kind, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_round("plus-close", tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("RANK", "1")
    train_round("plus-whole", tmp_path)
    assert (runs[-1].batch_size, shipped) == (32, {})
    monkeypatch.setenv("RANK", "0")
    train_round("plus-whole", tmp_path)
    assert shipped == {Kind.PLUS: "plus-whole"}


def test_what_the_environment_says_without_a_launcher_is_not_about_us(
    runs: list[TrainConfig], shipped: dict[Kind, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    for name in ("base-close", "base-whole"):
        train_round(name, tmp_path)
    assert (runs[-1].batch_size, shipped) == (32, {Kind.BASE: "base-whole"})


@pytest.mark.parametrize("other", ["plan", "models", "round before"])
def test_a_round_of_another_plan_or_on_other_models_is_refused(
    other: str, runs: list[TrainConfig], shipped: dict[Kind, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("base-close", "base-whole"):
        train_round(name, tmp_path)
    if other == "plan":
        monkeypatch.setitem(ROUNDS, "base-whole", replace(ROUNDS["base-whole"], steps=3000))
    elif other == "models":
        monkeypatch.setattr(adapters.ship, "contents", lambda: {"pocket.safetensors": "others"})
    else:
        (tmp_path / "base-close" / "adapter.safetensors").write_text("another")
    named = {"plan": "another steps", "models": "another pocket.safetensors", "round before": "another base-close"}
    with pytest.raises(TrainingError, match=named[other]):
        train_round("base-whole", tmp_path)
    assert len(runs) == 2
