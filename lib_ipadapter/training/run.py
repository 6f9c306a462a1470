"""A run from its configuration to its last adapter."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.writing import whole
from lib_ipadapter.training.accelerator import open_accelerator
from lib_ipadapter.training.build import Say, build
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.logs import Curves
from lib_ipadapter.training.loop import Loop
from lib_ipadapter.training.output import finished
from lib_ipadapter.training.saving import adapter_path


def train(config: TrainConfig, say: Say = print) -> Path:
    """Trains an adapter; returns the path of the last one saved. `say` takes sentences for people.

    Raises `IPAdapterError`. Under ``accelerate launch`` or ``torchrun`` every process calls this.
    """
    try:
        return _train(config, open_accelerator(config), say)
    except torch.cuda.OutOfMemoryError as error:
        raise TrainingError(
            f"The GPU's memory is full ({reason(error)}): close what else uses it, or give a smaller --batch-size,"
            " --gradient-checkpointing, or --sample-every 0. What was saved stays; --resume goes on from it."
        ) from error
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)


def _train(config: TrainConfig, accelerator: Accelerator, say: Say) -> Path:
    try:
        tell = say if accelerator.is_main_process else _silent
        done = finished(config)
        if done is None:
            loop = build(config, accelerator, tell)
            _go(loop, accelerator, tell)
            done = loop.position.step
            cut = not adapter_path(config.output, done).is_file()  # of a run whose last save failed half way
            accelerator.wait_for_everyone()  # all have looked before the first writes it
            if cut:
                loop.save_adapter(done)
        else:
            tell(f"All {config.steps} steps are done already.")
        final = config.output / "adapter.safetensors"
        if accelerator.is_main_process:
            with whole(final, TrainingError) as part:
                shutil.copyfile(adapter_path(config.output, done), part)
        accelerator.wait_for_everyone()
        tell(f"Done: {final}")
        return final
    finally:
        accelerator.end_training()


def _go(loop: Loop, accelerator: Accelerator, tell: Say) -> None:
    """Says what it will take, and runs. Raises `TrainingError`."""
    tell(str(loop.estimate()))
    if accelerator.is_main_process:
        loop.saves.forget_after(loop.position.step)
    curves = Curves(loop.config.output, loop.position.step) if accelerator.is_main_process else None
    try:
        loop.run(curves)
    finally:
        if curves:
            curves.close()


def _silent(_: str) -> None:
    """What only one process should say."""
