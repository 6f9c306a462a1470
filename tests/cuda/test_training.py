"""Whole runs on a CUDA device: they reach what the CPU reaches, and go on where they stopped."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.training.config import Precision
from lib_ipadapter.training.run import train
from tests.training.world import config, metrics, state

pytestmark = pytest.mark.usefixtures("exact")

USUAL = {"kind": Kind.PLUS, "steps": 4, "learning_rate": 1e-3, "full_precision": True, "log_every": 1}
PRECISIONS = (Precision.NO, Precision.BF16, Precision.FP16)
SAME = {Precision.NO: 1e-6, Precision.FP16: 1e-4}
"""How far weights may be from the same ones, as a share of their length: sums are not always in one order there."""

Pair = tuple[dict[str, Tensor], dict[str, Tensor]]


def trained(world: Path, output: Path, *said: list[str], device: torch.device, **more: object) -> dict[str, Tensor]:
    """The weights of a run on a device. `said`: where its sentences go."""
    values = {**USUAL, "precision": Precision.NO, "cpu": device.type == "cpu", **more}
    train(config(world, output, **values), said[0].append if said else print)
    return load_file(output / "adapter.safetensors")


def length(tensors: Mapping[str, Tensor]) -> float:
    return math.sqrt(sum(float(tensor.double().square().sum()) for tensor in tensors.values()))


def less(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> dict[str, Tensor]:
    assert one.keys() == other.keys()
    return {key: one[key] - other[key] for key in one}


@pytest.fixture(scope="module")
def by_the_cpu(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The weights that every run begins with, and what four steps in float32 make of them."""
    begun, done = (tmp_path_factory.mktemp(name) for name in ("start", "cpu"))
    cpu = torch.device("cpu")
    return trained(world, begun, device=cpu, steps=1, learning_rate=0.0), trained(world, done, device=cpu)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_run_in_each_precision_learns_and_saves_what_loads(
    precision: Precision, world: Path, tmp_path: Path, device: torch.device, by_the_cpu: Pair
) -> None:
    said, start = list[str](), by_the_cpu[0]
    looks = {"eval_every": 4, "sample_every": 4, "sample_steps": 2}
    found = trained(world, tmp_path, said, device=device, precision=precision, **looks)
    losses = [line["loss/all"] for line in metrics(tmp_path) if "loss/all" in line]
    assert len(losses) == 4
    assert all(math.isfinite(loss) for loss in losses)
    assert all(tensor.isfinite().all() for tensor in found.values())
    assert length(less(found, start)) > 1e-3 * length(start)
    assert IPAdapter.read(tmp_path / "adapter.safetensors").variant.kind is Kind.PLUS
    assert {tensor.dtype for tensor in state(tmp_path, 4).values()} == {torch.float32}
    assert (tmp_path / "samples" / "00000004.png").is_file()
    (estimate,) = [sentence for sentence in said if sentence.startswith("Memory: ")]
    assert re.search(r" [1-9]\d* MiB at the peak of a step \(measured\)", estimate), estimate


@pytest.mark.parametrize(
    "option",
    [{}, {"gradient_checkpointing": True}, {"batch_size": 2, "accumulation": 2}],
    ids=["plain", "checkpointing", "accumulation"],
)
def test_four_steps_reach_the_weights_that_they_reach_on_the_cpu_whatever_saves_memory(
    option: dict[str, object], world: Path, tmp_path: Path, device: torch.device, by_the_cpu: Pair
) -> None:
    start, wanted = by_the_cpu
    found = trained(world, tmp_path, device=device, **option)
    assert length(less(found, wanted)) < 0.02 * length(less(wanted, start))


@pytest.mark.parametrize("precision", SAME)
def test_a_run_that_was_interrupted_continues(
    precision: Precision, world: Path, tmp_path: Path, device: torch.device, by_the_cpu: Pair
) -> None:
    rows = {"batch_size": 3, "accumulation": 2, "warmup": 3, "precision": precision}
    whole = trained(world, tmp_path / "whole", device=device, **rows)
    trained(world, tmp_path / "parts", device=device, **rows, steps=2)
    torch.manual_seed(99)
    parts = trained(world, tmp_path / "parts", device=device, **rows, resume=True)
    off = length(less(parts, whole))
    assert off < SAME[precision] * length(whole)
    assert off < 0.05 * length(less(whole, by_the_cpu[0]))
