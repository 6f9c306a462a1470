"""Which of the WebUI's jobs is at hand: one of its own, or one that an extension makes inside another."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from lib_ipadapter.session.unit.passes import Pass

JOB = ("modules.processing", "process_images_inner")
"""The function that is one job (processing.py:853), and runs every callback of it."""

FOLDER = ("modules.img2img", "process_batch")
"""The function that makes a job for each file of an img2img batch (img2img.py:17); its `image` is the file at hand."""


class Jobs:
    """The job at hand and those around it, the outermost first.

    Callbacks alone cannot tell: a job that fails reports no end, so the next one would seem to be inside it. The call
    stack knows, and one job's place in it is its depth.
    """

    def __init__(self) -> None:
        self._jobs: list[weakref.ref[Any] | None] = []

    def begin(self, processing: Any) -> None:
        """A job begins; what is noted from its depth on was of jobs that are over."""
        around = self._jobs[: depth() - 1]
        unseen = [None] * (depth() - 1 - len(around))  # jobs in which our script has no part
        self._jobs = [*around, *unseen, weakref.ref(processing)]

    @property
    def around(self) -> list[Any]:
        """Those that the job at hand is inside of."""
        found = (job() for job in self._jobs[: depth() - 1] if job)
        return [job for job in found if job is not None]


def depth() -> int:
    """How many jobs run inside each other, this one included; 1 and up."""
    return max(1, sum(1 for _ in _frames(JOB)))


def pass_of(processing: Any) -> Pass:
    """The pass of which the sampling begins."""
    if depth() > 1:
        return Pass.INNER
    return Pass.HIRES if getattr(processing, "is_hr_pass", False) else Pass.FIRST


def batch_file() -> Path | None:
    """The file of an img2img batch that is at hand; None when there is no such batch."""
    frame = next(_frames(FOLDER), None)
    file = frame.f_locals.get("image") if frame else None
    return Path(file) if isinstance(file, str) else None


def _frames(function: tuple[str, str]) -> Iterator[FrameType]:
    """Calls of a function, by its module and name, that are under way; the innermost first."""
    frame = sys._getframe(1)
    while frame:
        if (frame.f_globals.get("__name__"), frame.f_code.co_name) == function:
            yield frame
        frame = frame.f_back
