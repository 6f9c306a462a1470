"""How strong the image branch is, and when."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """The part of the sampling during which a unit acts, as fractions of its steps."""

    start: float = 0.0
    end: float = 1.0

    @property
    def empty(self) -> bool:
        """No moment of any sampling lies in the range."""
        return self.start >= self.end

    def at(self, progress: float) -> bool:
        """Whether the unit acts. `progress`: steps done / steps in all, 0 at the first step.

        The start belongs to the range and the end does not, so that 0 to 0.5 and 0.5 to 1 share no step;
        an end of 1 has no limit, because adaptive samplers may take more steps than announced.
        """
        return self.start <= progress and (progress < self.end or self.end >= 1.0) and not self.empty
