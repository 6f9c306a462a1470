"""What the demo measures, and claims only as far as it is so."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise

import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.cli.studio import Shot, Studio, unit_of
from lib_ipadapter.model.variant import Kind

ROUNDING = 1e-4
"""Of the latents' spread: what float32 may differ by after all steps."""


@dataclass(frozen=True)
class Fact:
    """Something measured, and whether it is as it should be."""

    claim: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Evidence:
    """Everything that was drawn."""

    studio: Studio
    images: Mapping[str, Image.Image]
    plain: Tensor
    """Before the first adapter was put in."""
    drawn: Mapping[Shot, Tensor]

    def of(self, reference: str, kind: Kind) -> list[Tensor]:
        """The latents of one row and adapter, weakest first."""
        shots = sorted((s for s in self.drawn if (s.reference, s.kind) == (reference, kind)), key=lambda s: s.scale)
        return [self.drawn[shot] for shot in shots]

    @property
    def rows(self) -> list[tuple[str, Kind]]:
        """Every reference with every adapter."""
        return list(dict.fromkeys((shot.reference, shot.kind) for shot in self.drawn))


def nothing_at_zero(found: Evidence) -> Fact:
    """Scale 0 is no adapter."""
    zeros = [latents for shot, latents in found.drawn.items() if shot.scale == 0]
    same = sum(torch.equal(latents, found.plain) for latents in zeros)
    return Fact("scale 0 is bit-equal to no adapter", f"{same} of {len(zeros)} pictures", same == len(zeros) > 0)


def nothing_left(found: Evidence) -> Fact:
    """Removal is complete."""
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in found.studio.pipeline.unet.modules())
    same = torch.equal(found.studio.plain(), found.plain)
    measured = f"{'bit-equal' if same else 'not equal'}, {hooks} hooks left"
    return Fact("after removal the model is as before", measured, same and hooks == 0)


def grows(found: Evidence) -> Fact:
    """More scale, more change."""
    changes = [[distance(latents, found.plain) for latents in found.of(*row)] for row in found.rows]
    holds = all(a < b for row in changes for a, b in pairwise(row))
    means = [f"{sum(column) / len(column):.2f}" for column in zip(*changes, strict=True)]
    return Fact("the change grows with the scale", " < ".join(means), holds)


def differs(found: Evidence) -> Fact:
    """Another reference, another picture."""
    rows = {row: found.of(*row)[-1] for row in found.rows}
    least = min(distance(rows[a], rows[b]) for a, b in combinations(rows, 2) if a[1] == b[1])
    return Fact("each reference gives another picture", f"at least {least:.2f} apart", least > 0.05)


def agrees_with_diffusers(found: Evidence) -> Fact:
    """The same weights in diffusers' own IP-Adapter."""
    worst = {}
    for shot in {shot.kind: shot for shot in found.drawn if shot.scale == 1}.values():
        theirs = found.studio.by_diffusers(unit_of(shot, found.images))
        worst[shot.kind.value] = float((theirs - found.drawn[shot]).abs().max() / found.plain.std())
    measured = ", ".join(f"{kind} {difference:.0e}" for kind, difference in worst.items())
    return Fact("equal to diffusers' IP-Adapter", f"up to {measured} of the spread", max(worst.values()) < ROUNDING)


FACTS: tuple[Callable[[Evidence], Fact], ...] = (
    nothing_at_zero, nothing_left, grows, differs, agrees_with_diffusers
)  # fmt: skip


def measure(found: Evidence) -> Iterator[Fact]:
    """One fact after another."""
    return (fact(found) for fact in FACTS)


def distance(first: Tensor, second: Tensor) -> float:
    """Mean absolute difference, in spreads of the first."""
    return float((first - second).abs().mean() / first.std())
