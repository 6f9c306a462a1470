"""A factor that changes in the course of a sampling."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Point = tuple[float, float]
"""Progress (steps done / steps in all), and the factor there."""


@dataclass(frozen=True)
class Curve:
    """Straight lines between points, level before the first and after the last; without points 1 throughout.

    Two points at one progress are a jump: the later one holds from there on, as ``[from:to:when]`` does in a prompt.
    """

    points: tuple[Point, ...] = ()

    @classmethod
    def steps(cls, changes: Sequence[Point]) -> Curve:
        """Level between jumps. `changes`: where each level begins, in order, and the level."""
        points = list(changes[:1])
        for progress, level in changes[1:]:
            points += [(progress, points[-1][1]), (progress, level)]
        return cls(tuple(points))

    def at(self, progress: float) -> float:
        """The factor at `progress`."""
        if not self.points:
            return 1.0
        after = bisect_right([where for where, _ in self.points], progress)
        if after in (0, len(self.points)):
            return self.points[min(after, len(self.points) - 1)][1]
        (left, low), (right, high) = self.points[after - 1 : after + 1]
        return low + (high - low) * ((progress - left) / (right - left))

    def silent(self, start: float, end: float) -> bool:
        """Whether the factor is 0 all the way from `start` to `end`."""
        knots = sorted({start, end, *(where for where, _ in self.points if start < where < end)})
        middles = [(left + right) / 2 for left, right in pairwise(knots)]
        return not any(self.at(progress) for progress in (*knots[:-1], *middles))
