"""A picture's parameters for `pocket.page`: written as the WebUI writes them, and read back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import models
from pocket.scenes import SIZE
from pocket.studio import GUIDANCE, STEPS

PAIR = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
NEGATIVE = "Negative prompt: "
LIMITS = {"seed": (0, (1 << 32) - 1), "steps": (1, 50), "guidance": (1.0, 15.0)}
NAMES = {"Seed": "seed", "Steps": "steps", "CFG scale": "guidance"}


@dataclass(frozen=True)
class Settings:
    """What is asked for beside the units."""

    prompt: str = ""
    negative: str = ""
    seed: int = -1
    steps: int = STEPS
    guidance: float = GUIDANCE


def write(settings: Settings, units: Sequence[Unit], sampler: str, folders: Sequence[Path] = ()) -> str:
    """The WebUI's infotext: prompt, negative prompt, and a line of pairs. `folders`: those of adapters."""
    pairs = {"Steps": settings.steps, "Sampler": sampler, "CFG scale": settings.guidance, "Seed": settings.seed}
    pairs |= {"Size": f"{SIZE}x{SIZE}", "Model": "pocket"}
    pairs |= infotext.write(units, lambda name: models.bare_name(name, folders))
    return infotext.whole_text(settings.prompt, settings.negative, pairs)


def read(text: str) -> tuple[Settings, dict[str, str]]:
    """What `write` wrote, and every pair of the last line; what has no meaning keeps its default."""
    *lines, last = text.strip().split("\n")
    pairs = {name: _unquoted(value) for name, value in PAIR.findall(last)}
    if "Steps" not in pairs:  # a prompt alone
        lines, pairs = [*lines, last], {}
    start = next((i for i, line in enumerate(lines) if line.startswith(NEGATIVE)), len(lines))
    settings = Settings("\n".join(lines[:start]), "\n".join(lines[start:]).removeprefix(NEGATIVE))
    for name, attribute in NAMES.items():
        settings = _with(settings, attribute, pairs.get(name, ""))
    return settings, pairs


def _with(settings: Settings, attribute: str, value: str) -> Settings:
    low, high = LIMITS[attribute]
    try:
        return replace(settings, **{attribute: type(low)(min(max(float(value), low), high))})
    except (ValueError, OverflowError):
        return settings


def _unquoted(value: str) -> str:
    try:
        return str(json.loads(value)) if value.startswith('"') else value.strip()
    except ValueError:
        return value
