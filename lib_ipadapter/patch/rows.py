"""The rows of one denoiser step, as a host hands them to the model around the UNet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lib_ipadapter.patch.moment import Role


@dataclass
class StepRows:
    """All rows of a step, in the order in which the host calls its model with them, in one call or in several."""

    roles: Sequence[Role] = ()
    items: Sequence[int] = ()
    """Which picture of the job each row is of."""
    _taken: int = 0

    def take(
        self, count: int, without_text: Callable[[], bool] = lambda: False
    ) -> tuple[Sequence[Role], Sequence[int]]:
        """Roles and items of the next `count` rows.

        A call with more rows than are left is one more in the same step. Perturbed-Attention Guidance asks for all
        rows, and for those too that the host has left out; Self-Attention Guidance for the unconditional ones alone.
        `without_text`, asked only then, tells whether the rows have the negative prompt.
        """
        if count > len(self.roles) - self._taken:
            others = [place for place, role in enumerate(self.roles) if role == Role.UNCONDITIONAL]
            self._taken = others[0] if count <= len(others) and without_text() else 0
        part = slice(self._taken, self._taken + count)
        self._taken += count
        return self.roles[part], self.items[part]
