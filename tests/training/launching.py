"""A run in processes of its own, by the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields
from enum import Enum

import torch

from lib_ipadapter.training.config import TrainConfig
from tests.ports import free_port


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
