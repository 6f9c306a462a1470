"""Everything that a training run can be told. The defaults are the paper's (section 4.1.2) where it says something."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind


class Precision(str, Enum):
    """Of the frozen parts; what is trained is in float32 always."""

    AUTO = "auto"
    BF16 = "bf16"
    FP16 = "fp16"
    NO = "no"


class Decay(str, Enum):
    """How the learning rate goes on after the warm-up."""

    CONSTANT = "constant"
    COSINE = "cosine"


class Weighting(str, Enum):
    """How much a row counts in the loss, by its signal to noise ratio."""

    NONE = "none"
    MIN_SNR = "min-snr"
    EARLY = "early"


@dataclass(frozen=True)
class TrainConfig:
    """One run. The annotation of each field says what it means; the command line is made from them."""

    data: Annotated[Path, "Folder of pictures with .txt captions, or a .jsonl, or a .json list."]
    checkpoint: Annotated[Path | None, "Diffusers folder, or a single file with CLIP's tokenizer beside it."] = None
    encoder: Annotated[Path | None, "Image encoder: its folder, or a single file."] = None
    output: Annotated[Path, "Folder for adapters, states and curves."] = Path("outputs/training")

    kind: Annotated[
        Kind | None,
        "base: linear projection of the global embedding; plus: resampler over the grid; full: MLP over the grid.",
    ] = None
    tokens: Annotated[int | None, "Image tokens; 4 for base, 16 for plus, if not given. full has the grid's."] = None
    resampler_dim: Annotated[int | None, "Width inside plus; the text's, at most 1280, if not given."] = None
    warm_start: Annotated[Path | None, "A published adapter to go on from."] = None
    resume: Annotated[bool, "Go on from the newest state in the output folder; begin, if there is none."] = False

    image_root: Annotated[Path | None, "Where image_file starts from; the list's own folder, if not given."] = None
    resolution: Annotated[int, "Pixels of the square that is trained on: short side, centre crop."] = 512
    min_side: Annotated[int | None, "Pictures with a shorter side are skipped; half the resolution, if not given."] = (
        None
    )
    empty_captions: Annotated[bool, "Train on pictures without a caption too."] = False
    holdout: Annotated[int | None, "Entries kept for evaluation; a twentieth, at most 64, if not given."] = None
    cache: Annotated[Path | None, "Folder for latents and features; in memory, if not given (one process)."] = None
    cache_memory: Annotated[float, "GiB of latents, features and texts in memory; a cache folder keeps more."] = 8.0

    steps: Annotated[int, "Optimiser steps in all."] = 1_000_000
    batch_size: Annotated[int, "Pictures per process and step, before accumulation."] = 8
    accumulation: Annotated[int, "Batches per optimiser step."] = 1
    learning_rate: Annotated[float, "Of AdamW."] = 1e-4
    warmup: Annotated[int, "Steps over which the learning rate rises to its value."] = 0
    decay: Annotated[Decay, "What it does afterwards."] = Decay.CONSTANT
    weight_decay: Annotated[float, "Of AdamW."] = 0.01
    max_grad_norm: Annotated[float, "Longer gradients are shortened to this; 0 leaves them."] = 0.0
    weighting: Annotated[
        Weighting,
        "none; min-snr: less for rows with little noise; early: also more for rows that are almost only noise.",
    ] = Weighting.NONE
    drop_text: Annotated[float, "Probability that only the caption is dropped."] = 0.05
    drop_image: Annotated[float, "Probability that only the picture is dropped."] = 0.05
    drop_both: Annotated[float, "Probability that both are dropped."] = 0.05
    seed: Annotated[int, "Of order, noise, timesteps, drops and fresh weights."] = 0

    precision: Annotated[Precision, "Of the frozen parts; auto: bf16 or fp16 on a GPU."] = Precision.AUTO
    gradient_checkpointing: Annotated[bool, "Less memory for a third more time."] = False
    cuda_graph: Annotated[bool, "Record a step once and replay it: faster where model or batch are small."] = False
    cpu: Annotated[bool, "Leave the GPU alone."] = False

    log_every: Annotated[int, "Steps between points of the curves."] = 50
    eval_every: Annotated[int, "Steps between losses with the right and with a shuffled reference or caption."] = 500
    save_every: Annotated[int, "Steps between saves: an adapter, and a state to resume from."] = 5000
    keep: Annotated[int, "How many saves are kept."] = 3
    full_precision: Annotated[bool, "Save adapters in float32; half precision is what is published."] = False
    sample_every: Annotated[int, "Steps between sample grids; 0 draws none."] = 5000
    sample_count: Annotated[int, "References per grid."] = 4
    sample_scales: Annotated[str, "Scales per reference."] = "0,0.5,1"
    sample_prompt: Annotated[str | None, "Of the samples; each reference's own caption, if not given."] = None
    sample_steps: Annotated[int, "Denoiser steps of the samples (DDIM)."] = 30
    guidance: Annotated[float, "Classifier-free guidance of the samples."] = 7.5

    config: Annotated[Path | None, "Configuration of a single-file checkpoint; else the one beside it."] = None
    tokenizer: Annotated[Path | None, "Tokenizer folder for a single-file checkpoint."] = None

    def __post_init__(self) -> None:
        """Raises `TrainingError` for a value that no run can use."""
        for name, fits, wanted in self._rules():
            if not fits:
                raise TrainingError(f"--{name.replace('_', '-')} must be {wanted}, got {_plain(getattr(self, name))}.")
        if self.drop_text + self.drop_image + self.drop_both > 1:
            raise TrainingError("The probabilities of dropping text, image and both must not exceed 1 together.")

    def _rules(self) -> list[tuple[str, bool, str]]:
        positive = ("steps", "batch_size", "accumulation", "log_every", "eval_every", "save_every", "keep")
        not_negative = ("weight_decay", "max_grad_norm", "warmup", "sample_every", "sample_count", "cache_memory")
        probabilities = ("drop_text", "drop_image", "drop_both")
        return [
            *((name, getattr(self, name) >= 1, "at least 1") for name in (*positive, "sample_steps")),
            *((name, getattr(self, name) >= 0, "at least 0") for name in (*not_negative, "learning_rate", "seed")),
            *((name, 0 <= getattr(self, name) <= 1, "a probability from 0 to 1") for name in probabilities),
            ("resolution", self.resolution >= 64 and self.resolution % 8 == 0, "a multiple of 8, 64 or more"),
            ("kind", self.kind in (None, *PICTURE_KINDS), "base, plus or full: others cannot be trained"),
            ("tokens", self.tokens is None or self.tokens >= 1, "at least 1"),
            ("holdout", self.holdout is None or self.holdout >= 0, "at least 0"),
            ("resampler_dim", self.resampler_dim is None or self.resampler_dim >= 1, "at least 1"),
            ("tokens", self.tokens is None or self.kind is not Kind.FULL, _LEFT_OUT),
            ("resampler_dim", self.resampler_dim is None or self.kind is not Kind.FULL, _LEFT_OUT),
            ("cuda_graph", not (self.cuda_graph and self.accumulation > 1), _ONE_BATCH),
            ("cuda_graph", not (self.cuda_graph and self.gradient_checkpointing), _ALL_KEPT),
            ("sample_scales", all(map(_is_number, self.sample_scales.split(","))), "numbers with commas between"),
        ]

    @property
    def scales(self) -> list[float]:
        """Of the samples."""
        return [float(scale) for scale in self.sample_scales.split(",")]

    @property
    def shortest(self) -> int:
        """Pixels; a picture's shorter side must have as many."""
        return self.resolution // 2 if self.min_side is None else self.min_side

    def rate(self, step: int) -> float:
        """Learning rate at a step, counted from 0."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay is Decay.CONSTANT:
            return self.learning_rate * rise
        done = max(0, step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * done))

    def due(self, step: int, *intervals: int) -> bool:
        """Whether what is done at these intervals is done after `step`: 0 is never, the last step always."""
        return step == self.steps or any(n and step % n == 0 for n in intervals)

    def as_json(self) -> str:
        """For people to look up."""
        return json.dumps(asdict(self), indent=1, default=_plain) + "\n"


_LEFT_OUT = "left out with --kind full, which has no resampler and one token for each place of the encoder's grid"
_ONE_BATCH = "left out with --accumulation above 1: a replay writes over the gradients of the one before"
_ALL_KEPT = "left out with --gradient-checkpointing, which saves the memory that a recorded step keeps"


def _plain(value: Any) -> str:
    return value.value if isinstance(value, Enum) else str(value)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
