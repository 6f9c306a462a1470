"""What the probe extension inside the WebUI has seen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.live.client import Client

ROUTE = "/ip-adapter-probe"

BOXES = [[8, 8, 32, 32], [24, 20, 60, 60]]
"""Two faces in a picture of 64 x 64."""
CROPS = [(0, 0, 41, 41), (11, 11, 64, 64)]
"""What of the picture a job inside draws anew for each: 5 pixels of its mask's blur, a padding of 4, square."""


def jobs(**asked: Any) -> dict[str, Any]:
    """What a request needs besides, for the probe's jobs."""
    return {"alwayson_scripts": {"Probe jobs": {"args": [asked]}}}


@dataclass(frozen=True)
class Call:
    """One call of the UNet."""

    step: int
    of: int
    """The sampler's count of denoiser calls, and how many it expects."""
    tokens: int
    """Length of the text."""
    text: str
    """A letter for each row: c when it was given the prompt, u the negative prompt."""
    image: list[str]
    """The same from the keys and values that image branches used: each different answer; none when none acted."""
    outputs: int
    """How many times a branch added to a layer."""
    layers: list[tuple[str, float, float]]
    """For each of these times, in order: the layer that was running, the mean of the keys and that of the values."""
    silent: list[float]
    """For each of these times, the share of the picture's places to which nothing was added."""
    seconds: float
    """Processor time of the WebUI when the call began."""


@dataclass
class Recording:
    """Filled when the recording ends."""

    calls: list[Call] = field(default_factory=list)

    @property
    def rows(self) -> list[str]:
        """The roles of each call's rows by their text."""
        return [call.text for call in self.calls]

    def check_roles(self, *, units: int = 1, layers: int = 16) -> None:
        """Every layer gave every row the image tokens of the role that its text has."""
        assert self.calls
        for call in self.calls:
            assert "?" not in call.text
            assert call.image == [call.text]
            assert call.outputs == units * layers


@dataclass(frozen=True)
class Probe:
    """The inside of the WebUI."""

    client: Client

    @contextmanager
    def recording(self, trip: dict[str, Any] | None = None) -> Iterator[Recording]:
        """Every UNet call while entered.

        `trip`: ``{"step": k, "what": "raise" | "interrupt" | "skip"}``, or what other extensions do at every step:
        ``{"what": "negative again"}`` or ``{"what": "windows", "size": pictures}``.
        """
        self.client.post(f"{ROUTE}/record", trip or {})
        recording = Recording()
        try:
            yield recording
        finally:
            recording.calls = [Call(**call) for call in self.client.get(f"{ROUTE}/calls")]

    def state(self) -> dict[str, Any]:
        """Hooks on every loaded UNet, attributes of the live one, sizes of the cache; after a garbage collection."""
        return self.client.get(f"{ROUTE}/state")

    def hooks(self) -> list[str]:
        """The hooks on every UNet that is loaded."""
        return self.state()["hooks"]

    def digest(self) -> str:
        """A hash of the live UNet's weights."""
        return self.client.get(f"{ROUTE}/digest")

    def remember_unet(self) -> None:
        self.client.post(f"{ROUTE}/remember")

    def old_unet_alive(self) -> bool | None:
        """Whether the remembered UNet is still there; None when it still is the live one."""
        return self.client.get(f"{ROUTE}/remembered")

    def forget(self) -> None:
        """Empties the extension's cache."""
        self.client.post(f"{ROUTE}/forget")

    def reload_ui(self) -> None:
        self.client.post(f"{ROUTE}/reload_ui")
