"""What can be said to a run, and what cannot."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
import torch
import typer
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.config import Decay, Precision, TrainConfig
from lib_ipadapter.training.frozen import choose_dtype


def test_the_defaults_are_the_papers(tmp_path: Path) -> None:
    config = TrainConfig(data=tmp_path)
    assert (config.learning_rate, config.weight_decay, config.steps) == (1e-4, 0.01, 1_000_000)
    assert (config.drop_text, config.drop_image, config.drop_both) == (0.05, 0.05, 0.05)
    assert (config.resolution, config.batch_size) == (512, 8)
    assert config.rate(0) == config.rate(10**6) == 1e-4


def test_the_rate_rises_and_falls_as_asked(tmp_path: Path) -> None:
    config = TrainConfig(data=tmp_path, steps=110, warmup=10, decay=Decay.COSINE, learning_rate=1.0)
    assert [config.rate(step) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert [config.rate(step) for step in (60, 110)] == pytest.approx([0.5, 0.0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": 0}, "--steps must be at least 1, got 0"),
        ({"drop_text": 1.5}, "--drop-text must be a probability"),
        ({"drop_text": 0.5, "drop_image": 0.6}, "must not exceed 1 together"),
        ({"resolution": 100}, "--resolution must be a multiple of 8"),
        ({"sample_scales": "0,x"}, "--sample-scales must be numbers"),
        ({"holdout": -1}, "--holdout must be at least 0"),
        ({"resampler_dim": 0}, "--resampler-dim must be at least 1"),
        ({"learning_rate": -1.0}, "--learning-rate must be at least 0"),
        ({"learning_rate": float("nan")}, "--learning-rate must be at least 0"),
    ],
)
def test_what_no_run_can_use_is_refused(values: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=message):
        TrainConfig(data=tmp_path, **values)  # pyright: ignore[reportArgumentType]


def test_every_field_is_an_option_with_its_help() -> None:
    command = typer.main.get_command(app).commands["train"]  # pyright: ignore
    options = {parameter.name: parameter for parameter in command.params}
    assert options.keys() == {field.name for field in fields(TrainConfig)} | {"check"}
    assert all(option.help for option in options.values())


def test_the_command_line_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    command = ["train", "--data", str(tmp_path / "a.json"), "--cpu"]
    for more, said in (([], "Training needs --checkpoint and --encoder"), (["--check"], "holds no entries")):
        result = CliRunner().invoke(app, [*command, *more])
        assert result.exit_code == 2
        assert said in result.stderr


def test_half_precision_is_for_devices_that_have_it() -> None:
    cpu = torch.device("cpu")
    assert choose_dtype(Precision.AUTO, cpu) is torch.float32
    assert choose_dtype(Precision.BF16, cpu) is torch.bfloat16
    with pytest.raises(TrainingError, match="fp16 needs a CUDA device, this is cpu"):
        choose_dtype(Precision.FP16, cpu)


def test_a_run_writes_down_what_it_was_told(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(TrainConfig(data=tmp_path, precision=Precision.NO).as_json())
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["precision"] == "no"
    assert written["data"] == str(tmp_path)
