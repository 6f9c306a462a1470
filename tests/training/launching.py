"""A run in processes of its own, by the command line."""

from __future__ import annotations

from dataclasses import fields
from enum import Enum

from lib_ipadapter.training.config import TrainConfig


def arguments(given: TrainConfig) -> list[str]:
    """The options that say what `given` says."""
    options = []
    for field in fields(given):
        name, value = field.name.replace("_", "-"), getattr(given, field.name)
        if isinstance(value, bool):
            options.append(f"--{name}" if value else f"--no-{name}")
        elif value is not None:
            options += [f"--{name}", value.value if isinstance(value, Enum) else str(value)]
    return options
