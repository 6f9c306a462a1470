"""A host of a few lines, and folders with a tiny adapter of each kind and their encoder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.maths.precision import without_autocast
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.patch.moment import Role
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import BeginStep, Canvas
from lib_ipadapter.session.unit import Unit
from tests.models import TEXT_WIDTH, save_adapter, tiny_adapter, tiny_encoder, tiny_unet

ROLES = (Role.CONDITIONAL, Role.UNCONDITIONAL)


@dataclass
class FakeHost:
    """Announces a step of two rows whenever `run` is called."""

    folder: Path
    loaded: nn.Module = field(default_factory=tiny_unet)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    notices: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    listeners: list[BeginStep] = field(default_factory=list)
    cache: DiskCache | None = None
    shown: Canvas = field(default_factory=Canvas)

    def unet(self) -> nn.Module:
        return self.loaded

    @contextmanager
    def follow(self, begin_step: BeginStep) -> Iterator[None]:
        self.listeners.append(begin_step)
        try:
            yield
        finally:
            self.listeners.remove(begin_step)

    def canvas(self) -> Canvas:
        return self.shown

    def adapter_folders(self) -> Sequence[Path]:
        return [self.folder / "adapters"]

    def encoder_folders(self) -> Sequence[Path]:
        return [self.folder / "encoders"]

    def feature_cache(self) -> DiskCache | None:
        return self.cache

    def full_precision(self) -> AbstractContextManager[object]:
        return without_autocast(self.device)

    def fail(self, error: IPAdapterError) -> None:
        raise error

    def notice(self, sentence: str) -> None:
        self.notices.append(sentence)

    def remark(self, sentence: str) -> None:
        self.remarks.append(sentence)

    def run(self, progress: float = 0.0) -> Tensor:
        """One denoiser step."""
        for begin_step in self.listeners:
            begin_step(progress, ROLES, (0, 0))
        return run(self.loaded)


def run(unet: nn.Module) -> Tensor:
    """One UNet call of two rows, always with the same noise and text."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        return unet(
            torch.randn(2, 4, 8, 8, generator=noise),
            torch.tensor(500),
            encoder_hidden_states=torch.randn(2, 7, TEXT_WIDTH, generator=noise),
        ).sample


def fill(folder: Path) -> Path:
    """Writes the models."""
    for kind in PICTURE_KINDS:
        save_adapter(tiny_adapter(kind), folder / "adapters" / f"{kind.value}.safetensors")
    tiny_encoder().save_pretrained(folder / "encoders" / "tiny", safe_serialization=True)
    return folder


def picture(seed: int = 0) -> Image.Image:
    torch.manual_seed(seed)
    return Image.fromarray(torch.randint(0, 256, (60, 80, 3), dtype=torch.uint8).numpy())


def unit(model: str = "base", seed: int = 0, **values: object) -> Unit:
    """At a scale at which no picture goes unnoticed."""
    return Unit.parse({"image": picture(seed), "model": model, "scale": 1.0} | values)


def adapter_path(host: FakeHost, kind: Kind) -> Path:
    return host.folder / "adapters" / f"{kind.value}.safetensors"
