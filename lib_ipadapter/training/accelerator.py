"""The `Accelerator` of a run: its device, its processes, half precision, DeepSpeed."""

from __future__ import annotations

import os
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from accelerate.utils.dataclasses import (
    AutocastKwargs,
    DistributedDataParallelKwargs,
    DistributedType,
    GradientAccumulationPlugin,
)
from accelerate.utils.environment import parse_flag_from_env

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import choose_dtype

ZERO_3 = 3
PATIENCE = timedelta(days=2)
"""How long processes wait for each other: shares of a million pictures are not encoded in the same minute."""
LAUNCHED = "LOCAL_RANK"
"""What launchers tell each of the processes that they start."""


def open_accelerator(config: TrainConfig) -> Accelerator:
    """Nothing is autocast: what is trained computes in float32, frozen parts in their own. fp16 scales the loss.

    Raises `TrainingError` for options that do not go together, and for processes that do not know of each other.
    """
    cpu = _on_cpu(config)
    device = _together(PartialState(cpu=cpu, timeout=PATIENCE))
    half = choose_dtype(config.precision, device) is torch.float16
    accelerator = Accelerator(
        cpu=cpu,
        mixed_precision="fp16" if half else "no",
        # As a plugin, because a launcher's environment would take precedence over the plain number.
        gradient_accumulation_plugin=GradientAccumulationPlugin(config.accumulation, sync_with_dataloader=False),
        # The second: or each process keeps a copy of all gradients, 1.4 GB of SDXL's.
        kwargs_handlers=[AutocastKwargs(enabled=False), DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
    )
    plugin = accelerator.state.deepspeed_plugin
    if config.cuda_graph and (plugin or accelerator.num_processes > 1 or device.type != "cuda"):
        raise TrainingError(
            f"--cuda-graph needs a single process on a CUDA device, without DeepSpeed; this is"
            f" {accelerator.num_processes} on {device.type}{' with DeepSpeed' if plugin else ''}. Leave it out."
        )
    if accelerator.distributed_type is DistributedType.FSDP or (plugin and plugin.zero_stage == ZERO_3):
        raise TrainingError(
            "FSDP and DeepSpeed ZeRO-3 divide the weights, and an adapter is saved whole; launch with --multi_gpu, or"
            " with ZeRO-2 by lib_ipadapter/training/zero2.yaml."
        )
    if plugin:
        if half:  # DeepSpeed would turn what is trained, and its optimiser's steps, to fp16
            raise TrainingError(
                "DeepSpeed with fp16 would train in half precision, where small steps are lost; give --precision bf16"
                " or no, or launch without DeepSpeed."
            )
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = config.batch_size
        plugin.deepspeed_config["gradient_accumulation_steps"] = config.accumulation
        plugin.deepspeed_config["gradient_clipping"] = config.max_grad_norm  # accelerate's "auto" would be 1
    return accelerator


def _on_cpu(config: TrainConfig) -> bool:
    """Asked for, or all that a launcher's processes have: accelerate makes them one run on CPU cores only when told so.

    `PartialState` does not look at what ``accelerate launch --cpu`` leaves in the environment, `Accelerator` does.
    """
    asked = config.cpu or parse_flag_from_env("ACCELERATE_USE_CPU")
    cpu = asked or (LAUNCHED in os.environ and not torch.accelerator.is_available())
    if cpu and parse_flag_from_env("ACCELERATE_USE_DEEPSPEED"):
        raise TrainingError("DeepSpeed needs a GPU, and this run has CPU cores only; launch it without DeepSpeed.")
    return cpu


def _together(state: PartialState) -> torch.device:
    """The device. Raises `TrainingError` where processes would each train alone, and write over each other."""
    assert state.device is not None
    started = int(os.environ.get("WORLD_SIZE") or 1)
    if LAUNCHED in os.environ and started > state.num_processes:
        raise TrainingError(
            f"{started} processes were started, and on {state.device} each would train alone; start one, or give --cpu."
        )
    return state.device
