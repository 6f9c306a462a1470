"""Units that wait for a pass which a job does not have: they change nothing, and that must not go unnoticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.passes import Detailer, Pass, Passes


def without_hires(processing: Any, units: Sequence[Unit]) -> Iterator[str]:
    """A sentence for each unit for the hires pass, when a job begins that has none."""
    if getattr(processing, "enable_hr", False):
        return
    for number, unit in enumerate(units, 1):
        if unit.active and unit.passes == Passes.HIRES and unit.acts_in(Pass.HIRES):
            yield f"IP-Adapter: unit {number} is for the hires pass only, and this job has none."


def without_detailer(units: Sequence[Unit]) -> Iterator[str]:
    """A sentence for each unit for jobs inside a job, when one is over that had none with this script in it."""
    for number, unit in enumerate(units, 1):
        if unit.active and unit.detailer == Detailer.ONLY:
            yield (
                f"IP-Adapter: unit {number} is for detailer passes only, and this job had none in which this script"
                " runs; switch a detailer on that lets ip_adapter in, or set detailer to 'also'."
            )
