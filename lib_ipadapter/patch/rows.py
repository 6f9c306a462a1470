"""The rows of one denoiser step, as a host hands them to the model around the UNet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lib_ipadapter.patch.moment import Role


@dataclass
class StepRows:
    """All rows of a step, in the order in which the host calls its model with them, in one call or in several."""

    roles: Sequence[Role] = ()
    items: Sequence[int] = ()
    """Which picture of the job each row is of."""
    _taken: int = 0

    def take(self, count: int) -> tuple[Sequence[Role], Sequence[int]]:
        """Roles and items of the next `count` rows.

        A call with more rows than are left begins with the first again: whoever asks the model once more in the same
        step (Perturbed-Attention Guidance does) asks it for all rows, and for those too that the host has left out.
        """
        if count > len(self.roles) - self._taken:
            self._taken = 0
        part = slice(self._taken, self._taken + count)
        self._taken += count
        return self.roles[part], self.items[part]
