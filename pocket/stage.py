"""The one loop behind autoencoder, towers and diffusion model: seeded by step, so that resuming is exact."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm import tqdm

from lib_ipadapter.model.writing import whole
from pocket.records import begin

Loss = Callable[[nn.Module, random.Random], tuple[Tensor, dict[str, float]]]
"""Of one batch, drawn by the lot that it is given; with numbers for the curve."""


@dataclass(frozen=True)
class Plan:
    """How one stage is trained."""

    name: str
    steps: int
    learning_rate: float
    warmup: int = 100
    ema: float = 0.998
    seed: int = 0
    made_of: tuple[tuple[str, str | int], ...] = ()
    """What else its result depends on: name, value."""
    save_seconds: float = 120.0
    log_every: int = 25

    def as_record(self) -> dict[str, Any]:
        """All that its result depends on."""
        found = asdict(self)
        return {name: found[name] for name in found if name not in ("save_seconds", "log_every")}

    def rate(self, step: int) -> float:
        """Rises over the warm-up, then falls as a cosine."""
        rise = min(1.0, (step + 1) / self.warmup)
        return self.learning_rate * rise * 0.5 * (1 + math.cos(math.pi * step / self.steps))


def train(module: nn.Module, loss: Loss, plan: Plan, work: Path, accelerator: Accelerator) -> nn.Module:
    """`module`'s moving average after `plan.steps`; goes on from the newest state in `work`.

    Raises `TrainingError` if that was begun by another plan.
    """
    if accelerator.is_main_process:
        begin(work / f"{plan.name}.json", plan.as_record())
    state = work / f"{plan.name}.pt"
    module = module.to(accelerator.device)
    average = deepcopy(module).requires_grad_(False).eval()
    optimiser = torch.optim.AdamW(module.parameters(), lr=plan.learning_rate, weight_decay=0.01, fused=True)
    kept = {"module": module, "average": average, "optimiser": optimiser}
    done = _read(state, kept)
    curve = work / f"{plan.name}.jsonl"
    if accelerator.is_main_process:
        _cut(curve, done)
    model: Any = accelerator.prepare(module) if accelerator.num_processes > 1 else module
    saved = time.monotonic()
    progress = tqdm(
        range(done, plan.steps), plan.name, plan.steps, initial=done, disable=not accelerator.is_main_process
    )
    for step in progress:
        numbers = _step(model, loss, optimiser, plan, step, process=accelerator.process_index)
        _follow(average, module, min(plan.ema, (step + 1) / (step + 10)))
        if not accelerator.is_main_process:
            continue
        if step % plan.log_every == 0:
            _log(curve, {"step": step, **numbers})
            progress.set_postfix({name: f"{value:.4f}" for name, value in numbers.items()})
        if time.monotonic() - saved > plan.save_seconds or step + 1 == plan.steps:
            _write(state, kept, step + 1)
            saved = time.monotonic()
    return average


def _step(
    model: nn.Module, loss: Loss, optimiser: torch.optim.Optimizer, plan: Plan, step: int, *, process: int
) -> dict[str, float]:
    """One step; everything random in it comes from its number."""
    seed = (plan.seed * 1_000_003 + step) * 64 + process
    torch.manual_seed(seed)
    for group in optimiser.param_groups:
        group["lr"] = plan.rate(step)
    value, numbers = loss(model, random.Random(seed))
    value.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    optimiser.zero_grad()
    return {"loss": float(value.detach()), **numbers}


@torch.no_grad()
def _follow(average: nn.Module, module: nn.Module, decay: float) -> None:
    mine: list[Tensor] = [*average.parameters()]
    theirs: list[Tensor] = [*module.parameters()]
    torch._foreach_lerp_(mine, theirs, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]


Kept = Mapping[str, Any]
"""Its name in a state -> a module or an optimiser."""


def _read(state: Path, kept: Kept) -> int:
    if not state.is_file():
        return 0
    found = torch.load(state, map_location="cpu", weights_only=True)
    for name, one in kept.items():
        one.load_state_dict(found[name])
    return found["step"]


def _write(state: Path, kept: Kept, step: int) -> None:
    found = {name: one.state_dict() for name, one in kept.items()}
    with whole(state) as part:
        torch.save(found | {"step": step}, part)


def _cut(curve: Path, step: int) -> None:
    """Drops what a stage logs once more: all from `step` on."""
    if curve.is_file():
        kept = [line for line in curve.read_text(encoding="utf-8").splitlines() if json.loads(line)["step"] < step]
        curve.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _log(path: Path, numbers: dict[str, float]) -> None:
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps({name: round(value, 6) for name, value in numbers.items()}) + "\n")
