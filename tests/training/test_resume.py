"""A run goes on bit for bit, or says why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.checkpoint import read_metadata
from lib_ipadapter.model.variant import Kind
from tests.training.world import equal, metrics, run, state


def test_a_run_that_was_interrupted_continues_bit_for_bit(world: Path, tmp_path: Path) -> None:
    rows = {"batch_size": 3, "accumulation": 2, "save_every": 2, "warmup": 3, "kind": Kind.PLUS}
    run(world, tmp_path / "whole", steps=5, **rows)
    run(world, tmp_path / "parts", steps=2, **rows)
    torch.manual_seed(99)
    run(world, tmp_path / "parts", steps=5, resume=True, **rows)
    assert equal(state(tmp_path / "whole", 5), state(tmp_path / "parts", 5))
    optimisers = [
        torch.load(tmp_path / part / "state-00000005" / "optimizer.bin", weights_only=True)["state"]
        for part in ("whole", "parts")
    ]
    moments = [{f"{i}.{k}": torch.as_tensor(v) for i, s in o.items() for k, v in s.items()} for o in optimisers]
    assert equal(*moments)
    curves = [[line.get("loss/all") for line in metrics(tmp_path / part)] for part in ("whole", "parts")]
    assert curves[1] == [curves[0][0], None, *curves[0][1:]]  # the part that ended looked at its references


def test_a_run_goes_on_with_another_accumulation_as_if_nothing_had_changed(world: Path, tmp_path: Path) -> None:
    for name in ("same", "other"):
        run(world, tmp_path / name, steps=3, learning_rate=1e-3)
    run(world, tmp_path / "same", steps=6, learning_rate=1e-3, resume=True)
    run(world, tmp_path / "other", steps=6, learning_rate=1e-3, resume=True, batch_size=1, accumulation=4)
    same, other = (state(tmp_path / name, 6) for name in ("same", "other"))
    for key, tensor in same.items():
        torch.testing.assert_close(other[key], tensor, rtol=1e-4, atol=1e-5)


def test_a_run_is_not_written_over_unless_it_goes_on(world: Path, tmp_path: Path) -> None:
    run(world, tmp_path, steps=1)
    with pytest.raises(TrainingError, match="holds a run already; give --resume"):
        run(world, tmp_path, steps=2)
    run(world, tmp_path, steps=1, resume=True)
    run(world, tmp_path, steps=2, resume=True)
    last = (tmp_path / "adapter.safetensors").read_bytes()
    run(world, tmp_path, steps=1, resume=True)  # fewer than are done
    assert (tmp_path / "adapter.safetensors").read_bytes() == last
    assert read_metadata(tmp_path / "adapter.safetensors")["steps"] == "2"


def test_a_run_goes_on_only_where_there_is_one_and_as_what_it_is(world: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"--resume goes on from a state-\* in .*, and there is none; give"):
        run(world, tmp_path, steps=1, resume=True)
    run(world, tmp_path, steps=1)
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(TrainingError, match=r"state-00000001 does not fit a sd15 plus, .* as config.json beside it"):
        run(world, tmp_path, steps=2, resume=True, kind=Kind.PLUS)
    assert (tmp_path / "config.json").read_bytes() == before
    (tmp_path / "adapter-00000001.safetensors").unlink()
    with pytest.raises(TrainingError, match=r"adapter-00000001.safetensors is gone; give more --steps"):
        run(world, tmp_path, steps=1, resume=True)


def test_going_on_with_another_order_of_the_data_is_said(
    world: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(world, tmp_path, steps=1)
    run(world, tmp_path, steps=2, resume=True)
    assert "the order of the data is a new one" not in caplog.text
    run(world, tmp_path, steps=3, resume=True, holdout=2)
    assert "--holdout or --seed have changed since state-00000002" in caplog.text
    caplog.clear()
    run(world, tmp_path, steps=4, resume=True, holdout=2)
    assert "the order of the data is a new one" not in caplog.text
