"""A save is whole, read back and found right before it takes the place of another."""

from __future__ import annotations

import errno
import itertools
import json
import math
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from lib_ipadapter.errors import CheckpointError, TrainingError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.weights_file import read_metadata
from lib_ipadapter.training.logs import Curves
from lib_ipadapter.training.saving import save_adapter
from lib_ipadapter.training.stream import Draw, Drop
from lib_ipadapter.training.window import SKIPPED, by_bucket, check_finite, check_scaled
from tests.models import tiny_adapter


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard orders a folder's files by the second in which each was begun; runs of people are never in one."""
    seconds = itertools.count(int(time.time()))
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: float(next(seconds))))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "adapter.safetensors"
    save_adapter(tiny_adapter(Kind.BASE, seed=1), path, torch.float16, {"steps": "1"})
    return path


def test_what_is_saved_is_what_was_trained_in_the_files_precision(saved: Path) -> None:
    wanted = tiny_adapter(Kind.BASE, seed=1).half().state_dict()
    assert all(torch.equal(tensor, wanted[key]) for key, tensor in IPAdapter.read(saved).state_dict().items())
    assert read_metadata(saved)["steps"] == "1"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e6])
def test_weights_that_are_no_numbers_are_not_saved(value: float, saved: Path) -> None:
    adapter = tiny_adapter(Kind.BASE, seed=2)
    adapter.ip_adapter["5"].to_k_ip.weight.data[3, 3] = value  # pyright: ignore
    with pytest.raises(TrainingError, match=r"ip_adapter\.5\.to_k_ip\.weight .* no numbers in .*; .* --full-precision"):
        save_adapter(adapter, saved, torch.float16, {"steps": "2"})
    assert read_metadata(saved)["steps"] == "1"
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_save_that_cannot_be_read_back_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(path: Path) -> IPAdapter:
        raise CheckpointError(f"{path.name} is damaged.")

    monkeypatch.setattr(IPAdapter, "read", unreadable)
    with pytest.raises(TrainingError, match="just written cannot be read"):
        save_adapter(tiny_adapter(Kind.BASE), saved, torch.float16, {"steps": "2"})
    assert read_metadata(saved)["steps"] == "1"


def test_a_save_that_is_read_as_another_leaves_the_old_one(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IPAdapter, "read", lambda _: tiny_adapter(Kind.BASE, seed=7).half())
    with pytest.raises(TrainingError, match="other values"):
        save_adapter(tiny_adapter(Kind.BASE), saved, torch.float16, {"steps": "2"})
    assert read_metadata(saved)["steps"] == "1"


def test_curves_forget_what_lies_beyond_the_state_that_is_gone_on_from(tmp_path: Path) -> None:
    curves = Curves(tmp_path, 0)
    for step in (10, 20, 30):
        curves.scalars(step, {"loss/all": float(step)})
    curves.close()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4')  # the run was killed here
    Curves(tmp_path, 20).close()
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [10, 20]


@pytest.mark.usefixtures("a_second_each")
def test_curves_of_a_run_that_ended_before_its_first_save_are_not_those_of_the_next(tmp_path: Path) -> None:
    for step in (30, 10):
        curves = Curves(tmp_path, 0)
        curves.scalars(step, {"loss/all": float(step)})
        curves.close()
    drawn = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert [scalar.step for scalar in drawn.Scalars("loss/all")] == [10]


@pytest.mark.usefixtures("a_second_each")
def test_a_point_of_the_step_that_is_gone_on_from_is_kept_in_both(tmp_path: Path) -> None:
    for begins, steps in ((0, (10, 20, 30)), (20, (40,))):
        curves = Curves(tmp_path, begins)
        for step in steps:
            curves.scalars(step, {"loss/all": float(step)})
        curves.close()
    drawn = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    written = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [scalar.step for scalar in drawn.Scalars("loss/all")] == written == [10, 20, 40]


def test_a_full_disk_is_a_sentence_for_the_curves_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    curves = Curves(tmp_path, 0)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(TrainingError, match=r"metrics.jsonl cannot be written \(No space left on device\); make"):
            curves.scalars(1, {"loss/all": 1.0})
    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(TrainingError, match="samples cannot be written"):
        curves.picture(1, Image.new("RGB", (8, 8)))
    curves.close()


def test_a_loss_scale_that_finds_no_value_ends_the_run() -> None:
    check_scaled(torch.full((SKIPPED - 1,), math.inf))
    check_scaled(torch.tensor([math.inf] * SKIPPED + [1.0]))
    with pytest.raises(TrainingError, match=r"none had a gradient that fp16 can hold, .* give --precision bf16 or no"):
        check_scaled(torch.full((SKIPPED,), math.inf))


def test_loss_by_timestep_is_the_mean_of_each_part() -> None:
    draws = [Draw(i, 0, step, Drop.NONE) for i, step in enumerate((0, 199, 200, 999))]
    found = by_bucket(torch.tensor([1.0, 3.0, 5.0, 7.0]), draws, 1000)
    assert found == {"loss/t000-199": 2.0, "loss/t200-399": 5.0, "loss/t800-999": 7.0}


def test_the_step_and_its_rows_that_are_no_numbers_are_named() -> None:
    draws = [Draw(i, i, 10 * i, Drop.NONE) for i in range(6)]
    losses = torch.tensor([1.0, 1.0, 1.0, float("nan"), float("inf"), float("nan")])
    with pytest.raises(TrainingError, match=r"in step 102, for d \(timestep 30\): look"):
        check_finite(losses, draws, list("abcdef"), since=100, rows=2)
    check_finite(torch.ones(6), draws, list("abcdef"), since=100, rows=2)


def test_the_step_whose_gradient_is_no_number_is_named_and_not_the_one_that_it_spoils() -> None:
    draws = [Draw(i, i, 10 * i, Drop.NONE) for i in range(6)]
    losses, norms = torch.tensor([1.0] * 4 + [float("nan")] * 2), torch.tensor([1.0, float("inf"), float("nan")])
    with pytest.raises(
        TrainingError, match=r"The gradient is not .* step 102, for c \(timestep 20\), d \(timestep 30\)"
    ):
        check_finite(losses, draws, list("abcdef"), since=100, rows=2, norms=norms)
    losses[3] = float("nan")
    with pytest.raises(TrainingError, match=r"The loss is not a number in step 102, for d \(timestep 30\): look"):
        check_finite(losses, draws, list("abcdef"), since=100, rows=2, norms=norms)
    check_finite(torch.ones(6), draws, list("abcdef"), since=100, rows=2, norms=torch.ones(3))
