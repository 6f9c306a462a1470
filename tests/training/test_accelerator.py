"""What launchers start is one run with whole weights in float32, or is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.utils.checkpoint
from accelerate.utils.dataclasses import DistributedType

from lib_ipadapter import training
from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training import accelerator
from lib_ipadapter.training.config import Precision
from tests.training.world import config


def test_the_shipped_configuration_of_deepspeed_is_one_that_accelerate_reads() -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    given = load_config_from_file(str(Path(training.__file__).with_name("zero2.yaml")))
    assert given.distributed_type == "DEEPSPEED"
    assert given.deepspeed_config["zero_stage"] == 2
    assert given.mixed_precision == "no"


def of_one(device: torch.device) -> SimpleNamespace:
    """The state of a process that knows of no other."""
    return SimpleNamespace(device=device, num_processes=1)


def launched(plugin: Any = None, engine: DistributedType = DistributedType.NO) -> SimpleNamespace:
    """An `Accelerator` as a launcher's environment makes it."""
    return SimpleNamespace(state=SimpleNamespace(deepspeed_plugin=plugin), distributed_type=engine, num_processes=1)


def test_weights_that_are_divided_among_gpus_are_refused(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "PartialState", lambda **_: of_one(torch.device("cuda")))
    for made in (launched(SimpleNamespace(zero_stage=3)), launched(engine=DistributedType.FSDP)):
        monkeypatch.setattr(accelerator, "Accelerator", lambda made=made, **_: made)
        with pytest.raises(TrainingError, match=r"FSDP and DeepSpeed ZeRO-3 divide .* ZeRO-2 by .*zero2.yaml"):
            accelerator.open_accelerator(config(world, tmp_path, precision=Precision.BF16))


def test_processes_that_would_each_train_alone_are_refused(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accelerator, "PartialState", lambda **_: of_one(torch.device("mps")))
    monkeypatch.setattr(accelerator, "Accelerator", lambda **_: launched())
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert accelerator.open_accelerator(config(world, tmp_path, cpu=False)), "no launcher started this one"
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(TrainingError, match=r"2 processes were started, and on mps each would train alone; start one"):
        accelerator.open_accelerator(config(world, tmp_path, cpu=False))


@pytest.fixture
def deepspeed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What DeepSpeed on a GPU would be told, as accelerate leaves it."""
    automatic = {"gradient_clipping": "auto", "train_micro_batch_size_per_gpu": "auto"}
    plugin = SimpleNamespace(deepspeed_config=automatic, zero_stage=2)
    monkeypatch.setattr(accelerator, "PartialState", lambda **_: of_one(torch.device("cuda")))
    monkeypatch.setattr(accelerator, "Accelerator", lambda **_: launched(plugin))
    return plugin.deepspeed_config


def test_deepspeed_divides_and_shortens_as_the_command_line_says(
    world: Path, tmp_path: Path, deepspeed: dict[str, Any]
) -> None:
    for longest in (0.0, 3.0):
        asked = {"precision": Precision.BF16, "max_grad_norm": longest, "batch_size": 5, "accumulation": 3}
        accelerator.open_accelerator(config(world, tmp_path, **asked))
        assert deepspeed == {
            "gradient_clipping": longest,
            "train_micro_batch_size_per_gpu": 5,
            "gradient_accumulation_steps": 3,
        }


def test_deepspeed_is_refused_where_it_would_be_left_out_unsaid(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    with pytest.raises(TrainingError, match=r"DeepSpeed needs a GPU.* launch it without DeepSpeed"):
        accelerator.open_accelerator(config(world, tmp_path, cpu=True))


@pytest.mark.usefixtures("deepspeed")
def test_deepspeed_does_not_train_in_half_precision(world: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"DeepSpeed with fp16 would train in half precision.* give --precision bf16"
    ):
        accelerator.open_accelerator(config(world, tmp_path, precision=Precision.FP16))
