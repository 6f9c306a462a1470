"""What the UNet is being asked right now: which step, and which row of the batch plays which role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from torch import Tensor

from lib_ipadapter.errors import HostError


class Role(IntEnum):
    """What a row of the UNet's batch is for in classifier-free guidance."""

    UNCONDITIONAL = 0
    CONDITIONAL = 1


@dataclass
class Moment:
    """The row cursor.

    A host announces each denoiser step with the roles of all its rows; how many UNet calls these rows are then
    divided into is the host's business (prompts of unequal length, memory saving, tiles): every call takes the
    next rows, and the last is followed by the first again. Where a call has only some of them, they are known by
    their texts: AnimateDiff asks for windows of frames, with the unconditional rows of each beside the others.
    """

    progress: float = 0.0
    """Steps done / steps in all, as the sampler counts them."""
    call: list[int] = field(default_factory=list)
    """Role of each row of the UNet call now running; empty outside a step."""
    items: list[int] = field(default_factory=list)
    """For each of these rows, which picture of the job it is of, counted over all batches."""
    known: bool = True
    """Whether these are the pictures that the rows are of: not so where they came in an order of somebody else's."""
    clear: bool = True
    """Whether these are the rows' roles: not so where they came like that, and both roles have the same text."""
    latent_size: tuple[int, int] = (0, 0)
    """Height and width of the latent picture in that call."""
    reached: bool = True
    """Whether the UNet call now running, or the last one, ran a hooked layer."""
    announced: bool = False
    """Whether the host has ever announced a step."""
    _roles: tuple[Role, ...] = ()
    _items: tuple[int, ...] = ()
    _texts: Tensor | None = None
    _cursor: int = 0

    def begin_step(
        self, progress: float, roles: Sequence[Role], items: Sequence[int] = (), texts: Tensor | None = None
    ) -> None:
        """A denoiser step with these rows, in this order, will now call the UNet.

        `items`: which picture of the job each row is of; without it all are of the first. `texts`: what each row's text
        attention attends to, ``[rows, tokens, width]``, where that is known.
        """
        assert len(items) in (0, len(roles))
        self.announced = True
        self.progress = progress
        self._roles = tuple(roles)
        self._items = tuple(items) or (0,) * len(roles)
        self._texts = texts
        self._cursor = 0
        self.call = []

    def begin_call(self, rows: int, latent_size: tuple[int, int], texts: Tensor | None = None) -> None:
        """The UNet is called with the next `rows` rows, or with as many that have these `texts`."""
        self.reached, self.known, self.clear = False, True, True
        self.latent_size = latent_size
        if not self._roles:
            self.call, self.items = [], []
            return
        count = len(self._roles)
        places = [(self._cursor + i) % count for i in range(rows)]
        if rows < count:
            self.known, places = self._some(texts, places)
        self.call = [int(self._roles[place]) for place in places]
        self.items = [self._items[place] for place in places]
        self._cursor = (self._cursor + rows) % count

    def _some(self, texts: Tensor | None, places: list[int]) -> tuple[bool, list[int]]:
        """Whether a call with some of the rows has those in `places`, as far as its `texts` tell; and which it has."""
        if len(set(self._roles)) == 1:
            return False, places
        found = []
        for place, same in zip(places, same_texts(texts, self._texts, len(places)), strict=True):
            self.clear = self.clear and len({self._roles[other] for other in same}) < 2
            found.append(place if place in same or not same else same[0])
        return found == places, found

    def end_call(self) -> None:
        """The UNet call has ended. Raises `HostError` when the image branches could have had no part in it."""
        if not self.announced:
            raise HostError(
                "The sampler calls the UNet without announcing its steps, so IP-Adapter cannot tell prompt from"
                " negative prompt; choose another sampler."
            )
        if not self.reached:
            raise HostError(
                "The loaded UNet runs without its own cross-attention layers (TensorRT or a compiled UNet?),"
                " so IP-Adapter has no effect; choose 'None' for the SD Unet setting."
            )


def same_texts(texts: Tensor | None, announced: Tensor | None, rows: int) -> list[list[int]]:
    """For each of `rows` with these `texts` where the same one stands among those `announced`; nowhere, if unknown."""
    if texts is None or announced is None or texts.shape[1:] != announced.shape[1:]:
        return [[] for _ in range(rows)]
    announced = announced.to(texts)
    return [(announced == text).flatten(1).all(1).nonzero().flatten().tolist() for text in texts]
