"""Two processes, by the command line, are one run: what they reach, and what goes on with what they have saved."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.run import train
from tests.ports import free_port
from tests.training.world import config, metrics

ROWS = 4
MORE = {"steps": 2, "learning_rate": 1e-3, "full_precision": True, "save_every": 1, "eval_every": 1}


@pytest.fixture(scope="module")
def done(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    """Number of processes -> what a run in so many has written."""
    home = tmp_path_factory.mktemp("processes")
    outputs = {processes: home / str(processes) for processes in (1, 2)}
    for processes, output in outputs.items():
        go(processes, world, output)
    return outputs


def test_two_processes_reach_the_weights_of_one(done: dict[int, Path]) -> None:
    check_same(done[2], done[1])
    whole, halves = (metrics(done[processes]) for processes in (1, 2))
    for mine, theirs in zip(whole, halves, strict=True):
        known = {name for name in mine if not name.startswith("speed")}
        assert {n: theirs[n] for n in known} == pytest.approx({n: mine[n] for n in known}, rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("before", [1, 2])
def test_a_run_goes_on_with_another_number_of_processes_as_if_nothing_had_changed(
    before: int, done: dict[int, Path], world: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    shutil.copytree(done[before], output)
    shutil.rmtree(output / "state-00000002")
    for name in ("adapter-00000002.safetensors", "adapter.safetensors"):
        (output / name).unlink()
    go(3 - before, world, output, resume=True)
    check_same(output, done[1])


def go(processes: int, world: Path, output: Path, **more: Any) -> None:
    given = config(world, output, batch_size=ROWS // processes, cpu=processes == 1, **MORE, **more)
    if processes == 1:
        train(given)
    else:
        launch(processes, given)


def check_same(output: Path, other: Path) -> None:
    mine, theirs = (weights(folder) for folder in (output, other))
    for key, tensor in theirs.items():
        torch.testing.assert_close(mine[key], tensor, rtol=1e-4, atol=1e-5)


def weights(output: Path) -> dict[str, Tensor]:
    return load_file(output / "adapter.safetensors")


def arguments(given: TrainConfig) -> list[str]:
    """The options that say what `given` says."""
    options = []
    for field in fields(given):
        name, value = field.name.replace("_", "-"), getattr(given, field.name)
        if isinstance(value, bool):
            options.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            options += [f"--{name}", value.value if isinstance(value, Enum) else str(value)]
    return options


def launch(processes: int, given: TrainConfig) -> None:
    """The command line, as ``torchrun --nproc_per_node`` starts it, told to leave a GPU alone."""
    command = [sys.executable, "-m", "lib_ipadapter", "train", *arguments(given)]
    common = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": str(torch.accelerator.is_available())}
    common |= {"WORLD_SIZE": str(processes), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    running = [
        subprocess.Popen(
            command,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate(timeout=300)[0] for process in running]
    assert [process.returncode for process in running] == [0] * processes, "\n".join(said)
