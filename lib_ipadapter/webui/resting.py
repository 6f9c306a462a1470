"""Units that are enabled and change nothing in a job: that must not go unnoticed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.passes import Detailer, Pass, Passes


def nowhere(units: Sequence[Unit]) -> Iterator[str]:
    """A sentence for each unit that is enabled and can act at no step. At scale 0 nobody expects one to."""
    for number, unit in enumerate(units, 1):
        if unit.enabled and unit.scale != 0.0 and not unit.active:
            yield (
                f"IP-Adapter: unit {number} acts at no step and in no layer; look at its start and end, its curve,"
                " its layers and its grid, or switch it off."
            )


def without_hires(processing: Any, units: Sequence[Unit]) -> Iterator[str]:
    """A sentence for each unit for the hires pass, when a job begins that has none."""
    if getattr(processing, "enable_hr", False):
        return
    for number, unit in enumerate(units, 1):
        if unit.active and unit.passes == Passes.HIRES and unit.acts_in(Pass.HIRES):
            yield f"IP-Adapter: unit {number} is for the hires pass only, and this job has none."


def without_sampling(units: Sequence[Unit]) -> Iterator[str]:
    """A sentence, when a job is over whose pictures were made by something that tells scripts of no sampling."""
    if any(unit.active and (unit.acts_in(Pass.FIRST) or unit.acts_in(Pass.HIRES)) for unit in units):
        yield (
            "IP-Adapter: no unit acted, because another script made these pictures by a sampling of its own; leave that"
            " script out, or disable the units."
        )


def without_detailer(units: Sequence[Unit]) -> Iterator[str]:
    """A sentence for each unit for jobs inside a job, when one is over that had none with this script in it."""
    for number, unit in enumerate(units, 1):
        if unit.active and unit.detailer == Detailer.ONLY:
            yield (
                f"IP-Adapter: unit {number} is for detailer passes only, and this job had none in which this script"
                " runs; switch a detailer on that lets ip_adapter in, or set detailer to 'also'."
            )
