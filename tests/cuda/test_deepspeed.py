"""DeepSpeed on one GPU, by the command and the configuration that the documentation gives."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.weights_file import read_metadata
from lib_ipadapter.training.config import Precision
from tests.ports import free_port
from tests.training.launching import arguments
from tests.training.world import config, metrics, run

pytestmark = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed is not installed")

ROOT = Path(__file__).parents[2]
LONGEST = 240.0
"""Seconds for one run; most of them go into imports."""
ROWS = {"batch_size": 2, "accumulation": 2, "learning_rate": 1e-3, "full_precision": True, "log_every": 1}


def launched(world: Path, output: Path, precision: Precision, **more: object) -> subprocess.Popen[str]:
    """``accelerate launch`` as docs/training.md has it, on one GPU."""
    given = config(world, output, cpu=False, precision=precision, **ROWS, **more)
    launch = ["-m", "accelerate.commands.launch", "--config_file", "lib_ipadapter/training/zero2.yaml"]
    launch += ["--num_processes", "1", "--main_process_port", str(free_port()), "-m", "lib_ipadapter", "train"]
    return subprocess.Popen(
        [sys.executable, *launch, *arguments(given)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Status, and all that was said."""
    try:
        said = process.communicate(timeout=LONGEST)[0]
    finally:
        process.kill()
    return process.returncode, said


def check_adapter(output: Path, steps: int) -> None:
    path = output / "adapter.safetensors"
    assert read_metadata(path)["steps"] == str(steps)
    assert IPAdapter.read(path).variant.tokens == 4
    assert all(tensor.isfinite().all() for tensor in load_file(path).values())
    assert [line["step"] for line in metrics(output) if "loss/all" in line] == list(range(1, steps + 1))


def check_same(found: Path, wanted: Path, start: Path) -> None:
    """The distance between two runs is small beside the way that they went."""
    ours, theirs, begun = (load_file(output / "adapter.safetensors") for output in (found, wanted, start))
    off, way = (sum(float((a[k] - b[k]).square().sum()) for k in b) for a, b in ((ours, theirs), (theirs, begun)))
    assert off**0.5 < 0.1 * way**0.5


def test_a_run_trains_and_goes_on_and_half_precision_is_refused(world: Path, tmp_path: Path) -> None:
    """In one, because two of the three are started side by side: each takes most of its time to import."""
    output = tmp_path / "out"
    refused = launched(world, tmp_path / "refused", Precision.FP16, steps=4)
    status, said = ended(launched(world, output, Precision.BF16, steps=4))
    halted, why = ended(refused)
    assert status == 0, said
    check_adapter(output, 4)
    run(world, tmp_path / "start", precision=Precision.BF16, **{**ROWS, "steps": 1, "learning_rate": 0.0})
    run(world, tmp_path / "plain", precision=Precision.BF16, cpu=False, steps=4, **ROWS)
    check_same(output, tmp_path / "plain", tmp_path / "start")
    assert halted != 0, why
    assert "DeepSpeed with fp16 would train in half precision" in " ".join(why.split())
    assert not (tmp_path / "refused" / "adapter.safetensors").exists()

    first = load_file(output / "adapter-00000004.safetensors")
    status, said = ended(launched(world, output, Precision.BF16, steps=6, resume=True))
    assert status == 0, said
    assert "Going on from" in said
    check_adapter(output, 6)
    assert any(not tensor.equal(first[key]) for key, tensor in load_file(output / "adapter.safetensors").items())
