"""Every save is a usable adapter, and a state from which the run can go on."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from safetensors import SafetensorError

from lib_ipadapter.errors import CheckpointError, TrainingError, reason
from lib_ipadapter.maths.precision import finite
from lib_ipadapter.model import weights_file
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Variant


@dataclass
class Position:
    """How far a run is. accelerate saves and loads it with the rest of the state."""

    step: int = 0
    rows: int = 0
    """Of the stream that have been trained on."""
    seed: int = 0
    data_hash: str = ""
    """Of what is trained on, without what is held out."""
    checkpoint: str = ""
    encoder: str = ""
    resolution: int = 0
    weighting: str = ""
    learning_rate: float = 0.0
    decay: str = ""
    drop_text: float = 0.0
    drop_image: float = 0.0
    drop_both: float = 0.0

    def state_dict(self) -> dict[str, Any]:
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def changed(self, other: Position) -> list[str]:
        """Names of what the two runs were told differently. Where a state is too old to say, nothing is changed."""
        return [name for name, value in other.told().items() if getattr(self, name) != value]

    def become(self, other: Position) -> None:
        """Goes on with what `other` was told."""
        self.load_state_dict(other.told())

    def told(self) -> dict[str, Any]:
        """All but how far it is."""
        return {name: value for name, value in asdict(self).items() if name not in ("step", "rows")}


def save_adapter(adapter: IPAdapter, path: Path, dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
    """In the published layout. The file takes its name only after it was read back and found to be this adapter.

    Raises `IPAdapterError` and leaves what was there.
    """
    tensors = {key: tensor.detach().to("cpu", dtype) for key, tensor in adapter.state_dict().items()}
    if damaged := [key for key, tensor in tensors.items() if not finite(tensor)]:
        raise TrainingError(
            f"{path.name} is not saved: {damaged[0]} holds values that are no numbers in {dtype}; --resume with"
            " --full-precision, or from an earlier state with a lower --learning-rate."
        )
    weights_file.write(path, tensors, metadata, lambda part: check_saved(part, tensors, adapter.variant))


def check_saved(path: Path, tensors: Mapping[str, torch.Tensor], variant: Variant) -> None:
    """Reads the file as any user would. Raises `TrainingError` unless it holds these weights."""
    try:
        back = IPAdapter.read(path)
    except CheckpointError as error:
        raise TrainingError(f"The adapter that was just written cannot be read: {error}") from error
    if back.variant != variant:
        raise TrainingError(f"The adapter that was just written is read as {back.variant}; it should be {variant}.")
    if not all(torch.equal(tensor, tensors[key]) for key, tensor in back.state_dict().items()):
        raise TrainingError("The adapter that was just written is read with other values: look at the disk.")


class Saves:
    """The saves in an output folder: ``adapter-00001000.safetensors`` and ``state-00001000/``."""

    def __init__(self, folder: Path, accelerator: Accelerator, keep: int) -> None:
        self.folder = folder
        self.accelerator = accelerator
        self.keep = keep

    def forget_after(self, step: int) -> None:
        """Drops the adapters of a run that went further, and is gone on with from before."""
        for path in saved(self.folder, ADAPTERS):
            if step_of(path) > step:
                path.unlink()

    def save_state(self, step: int) -> None:
        """All processes write it; it has its name only when all of it is there. Raises `TrainingError`."""
        state, trial = self.folder / f"state-{step:08d}", self.folder / "writing-state"
        if self.accelerator.is_main_process:
            shutil.rmtree(trial, ignore_errors=True)
        self.accelerator.wait_for_everyone()
        self._write_state(trial)
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            shutil.rmtree(state, ignore_errors=True)
            trial.replace(state)
        self.accelerator.wait_for_everyone()

    def save_adapter(self, step: int, adapter: IPAdapter, dtype: torch.dtype, metadata: Mapping[str, str]) -> None:
        """The first process writes it; then the oldest saves go. Raises `IPAdapterError`."""
        if self.accelerator.is_main_process:
            save_adapter(adapter, adapter_path(self.folder, step), dtype, metadata)
            self._drop_old(step)
        self.accelerator.wait_for_everyone()

    def _write_state(self, trial: Path) -> None:
        try:
            self.accelerator.save_state(str(trial))
        except (OSError, RuntimeError, SafetensorError) as error:  # torch has the second for a full disk
            shutil.rmtree(trial, ignore_errors=True)
            raise TrainingError(
                f"No state can be written to {self.folder} ({reason(error)}); make room there, and go on with --resume"
                " from the save before, if there is one."
            ) from error

    def _drop_old(self, step: int) -> None:
        """All but the newest, and never what was saved at `step`, just now."""
        for pattern, drop in ((ADAPTERS, Path.unlink), (STATES, shutil.rmtree)):
            for path in saved(self.folder, pattern)[: -self.keep]:
                if step_of(path) != step:
                    drop(path)


ADAPTERS, STATES = "adapter-*.safetensors", "state-*"


def saved(folder: Path, pattern: str) -> list[Path]:
    """The saves of a sort in an output folder, the oldest first; one that is being written has another name."""
    return sorted((path for path in folder.glob(pattern) if step_of(path) >= 0), key=step_of)


def newest_state(folder: Path) -> Path | None:
    """The state to go on from."""
    return next(reversed(saved(folder, STATES)), None)


def adapter_path(folder: Path, step: int) -> Path:
    """Where the adapter of a step is."""
    return folder / f"adapter-{step:08d}.safetensors"


def step_of(path: Path) -> int:
    """After which an adapter or a state was saved; below zero where `path` is neither."""
    found = re.fullmatch(r"(?:adapter|state)-(\d+)(?:\.safetensors)?", path.name)
    return int(found[1]) if found else -1
