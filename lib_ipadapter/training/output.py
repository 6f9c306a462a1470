"""What a run finds in its output folder, and writes there before its first step."""

from __future__ import annotations

import os
from pathlib import Path

from accelerate import Accelerator

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.writing import whole
from lib_ipadapter.training.check import Report
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.saving import ADAPTERS, adapter_path, newest_state, saved, step_of


def check_output(config: TrainConfig) -> None:
    """Raises `TrainingError` where a run cannot write, or would write over another one."""
    there = existing(config.output)
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise TrainingError(f"--output {config.output} cannot be made: {there} is no folder to write to; give another.")
    begun = newest_state(config.output) is not None
    kept = [*saved(config.output, ADAPTERS), *config.output.glob("adapter.safetensors")]
    if kept and not begun:
        raise TrainingError(
            f"{config.output} holds {kept[0].name} and no state to go on from; move it away, or give another --output."
        )
    if begun and not config.resume:
        raise TrainingError(f"{config.output} holds a run already; give --resume to go on, or another --output.")


def existing(path: Path) -> Path:
    """`path`, or what is there above it."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def finished(config: TrainConfig) -> int | None:
    """The last step of a run that has none left to make, and its adapter; seen before anything is read."""
    state = newest_state(config.output) if config.resume else None
    if state is None or step_of(state) < config.steps or not adapter_path(config.output, step_of(state)).is_file():
        return None
    return step_of(state)


def write_record(config: TrainConfig, report: Report, accelerator: Accelerator) -> None:
    """What the run was told, and what of its data it leaves out. Raises `TrainingError` where there is no room."""
    if accelerator.is_main_process:
        skipped = "".join(f"{item}\n" for item in report.rejected)
        for name, text in (("config.json", config.as_json()), ("skipped.txt", skipped)):
            with whole(config.output / name, TrainingError) as part:
                part.write_text(text, encoding="utf-8", errors="backslashreplace")
