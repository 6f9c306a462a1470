"""A recorded step is the step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.training.config import Precision
from tests.training.world import metrics, run

USUAL = {"cpu": False, "learning_rate": 1e-3, "full_precision": True, "save_every": 2, "eval_every": 2, "log_every": 2}


@pytest.mark.parametrize("precision", [Precision.NO, Precision.BF16, Precision.FP16])
@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_a_replayed_run_has_the_losses_and_reaches_the_weights_of_one_that_launches(
    kind: Kind, precision: Precision, world: Path, tmp_path: Path
) -> None:
    more = {**USUAL, "kind": kind, "precision": precision, "steps": 5, "max_grad_norm": 1.0}
    plain = run(world, tmp_path / "plain", **more)
    replayed = run(world, tmp_path / "replayed", cuda_graph=True, **more)
    for mine, theirs in zip(*(metrics(tmp_path / name) for name in ("replayed", "plain")), strict=True):
        known = [name for name in theirs if name.startswith("loss")]
        assert {name: mine[name] for name in known} == pytest.approx({name: theirs[name] for name in known}, rel=0.02)
    step = 1e-3  # as far as AdamW goes in one; where a gradient is almost 0, its sign is a matter of luck
    for key, tensor in plain.items():
        off = (replayed[key] - tensor).abs().mean()
        assert off < step * (0.05 if precision is Precision.NO else 0.5), key


def test_a_replayed_run_that_was_interrupted_continues(world: Path, tmp_path: Path) -> None:
    more = {**USUAL, "precision": Precision.NO, "cuda_graph": True}
    whole = run(world, tmp_path / "whole", steps=4, **more)
    run(world, tmp_path / "parts", steps=2, **more)
    parts = run(world, tmp_path / "parts", steps=4, resume=True, **more)
    for key, tensor in whole.items():
        torch.testing.assert_close(parts[key], tensor, rtol=1e-4, atol=1e-5)
