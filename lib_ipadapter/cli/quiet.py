"""Libraries that have remarks for developers are asked to keep them, by whoever starts a program for users."""

from __future__ import annotations

import os

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "DIFFUSERS_VERBOSITY": "error",
}
"""No remarks: diffusers and transformers look at these when they are imported. What the user has set stays."""

OFFLINE = {"HF_HUB_OFFLINE": "1"}
"""The same for the hub: only `get` may ask it."""


def quieten(*, offline: bool = True) -> None:
    """For this process and those that it starts; to be called before either library is imported."""
    for name, value in (QUIET | OFFLINE if offline else QUIET).items():
        os.environ.setdefault(name, value)
