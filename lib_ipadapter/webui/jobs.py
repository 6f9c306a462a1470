"""Which of the WebUI's jobs is at hand: one of its own, or one that an extension makes inside another.

Callbacks cannot tell: a job that fails reports no end, so that the next one would seem to be inside it. The call stack
can: jobs that run inside each other are on it together.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lib_ipadapter.session.unit.passes import Pass

JOB = ("modules.processing", "process_images_inner")
"""The function that is one job (processing.py:853), and runs every callback of it; its `p` is the job."""

FOLDER = ("modules.img2img", "process_batch")
"""The function that makes a job for each file of an img2img batch (img2img.py:17); its `image` is the file at hand."""


UPSCALE = ("modules.txt2img", "txt2img_upscale")
"""The function of the gallery's button that makes hires fix's pass for one picture (txt2img.py:55)."""


def around() -> list[Any]:
    """The jobs that the one at hand is inside of, the outermost first; most often none."""
    outer = [*_calls(JOB)][1:]
    return [frame.f_locals["p"] for frame in reversed(outer)]


def is_only_reported(processing: Any) -> bool:
    """Whether a job's beginning is only reported again, for a copy of it, while it is under way.

    ADetailer does that after each batch, for scripts that count on it; parameters are the copy's and the job's alike.
    """
    job = next(_calls(JOB), None)
    return job is not None and job.f_locals["p"] is not processing


def pass_of(processing: Any) -> Pass:
    """The pass of which the sampling begins."""
    if around():
        return Pass.INNER
    return Pass.HIRES if getattr(processing, "is_hr_pass", False) else Pass.FIRST


def batch_file() -> Path | None:
    """The file of an img2img batch that is at hand; None when there is no such batch."""
    frame = next(_calls(FOLDER), None)
    file = frame.f_locals.get("image") if frame else None
    return Path(file) if isinstance(file, str) else None


def upscaled(processing: Any) -> dict[str, Any] | None:
    """Parameters of the one picture of an earlier job that this one upscales; None where it does no such thing."""
    if not getattr(processing, "txt2img_upscale", False):
        return None
    frame = next(_calls(UPSCALE), None)
    found = frame.f_locals.get("parameters") if frame else None
    return found if isinstance(found, dict) else None


def _calls(function: tuple[str, str]) -> Iterator[FrameType]:
    """Calls of a function, by its module and name, that are under way; the innermost first."""
    frame = sys._getframe(1)
    while frame:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == function:
            yield frame
        frame = frame.f_back
