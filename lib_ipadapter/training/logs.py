"""The curves: TensorBoard, and the same numbers as lines of JSON."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.writing import whole

LOG = logging.getLogger(__name__)


class Curves:
    """Writes numbers by step. After a resume, what lies beyond the state's step is forgotten."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / "metrics.jsonl"
        folder.mkdir(parents=True, exist_ok=True)
        kept = [line for line in _lines(self.path) if _step(line) <= step]
        with whole(self.path, TrainingError) as part:
            part.write_text("".join(kept), encoding="utf-8")
        self.samples = folder / "samples"
        self.writer = _tensorboard(folder / "tensorboard", step)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of a step that is done."""
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with _written(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **finite}) + "\n")
        for name, value in values.items() if self.writer else ():
            self.writer.add_scalar(name, value, step)

    def picture(self, step: int, image: Image.Image) -> None:
        """A sample grid."""
        with _written(self.samples):
            self.samples.mkdir(exist_ok=True)
            image.save(self.samples / f"{step:08d}.png")
        if self.writer:
            self.writer.add_image("samples", np.asarray(image), step, dataformats="HWC")

    def close(self) -> None:
        """Writes what is waiting."""
        if self.writer:
            self.writer.close()


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """Raises `TrainingError` where the block cannot write to `path`, as on a full disk."""
    try:
        yield
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be written ({reason(error)}); make room there, and go on with --resume."
        ) from error


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []


def _step(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except json.JSONDecodeError:  # the run ended while it was being written
        return math.inf


def _tensorboard(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415 - not everybody has it
    except ImportError:
        LOG.warning("tensorboard is not installed: the curves are in metrics.jsonl only (pip install tensorboard).")
        return None
    for old in folder.glob("events.out.tfevents.*") if not step else ():
        old.unlink()  # of a run that ended before its first save
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)  # it drops that step and all after it
