"""No host at all: enough to encode pictures by, without a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from lib_ipadapter.errors import HostError, IPAdapterError
from lib_ipadapter.maths.precision import without_autocast
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import BeginStep, Canvas

LOG = logging.getLogger(__name__)


class NoHost:
    """Has folders and a device, and nothing that could be drawn with."""

    def __init__(
        self, device: torch.device, *, adapter_folders: Sequence[Path] = (), encoder_folders: Sequence[Path] = ()
    ) -> None:
        self.device = device
        self.dtype = torch.float16 if device.type == "cuda" else torch.float32
        self._adapter_folders = adapter_folders
        self._encoder_folders = encoder_folders

    def unet(self) -> nn.Module:
        """There is none."""
        raise HostError("There is no checkpoint here to draw with; use `generate`.")

    def follow(self, begin_step: BeginStep) -> AbstractContextManager[None]:
        """Nothing will ever be sampled."""
        raise HostError("There is no checkpoint here to draw with; use `generate`.")

    def adapter_folders(self) -> Sequence[Path]:
        """As given."""
        return self._adapter_folders

    def encoder_folders(self) -> Sequence[Path]:
        """As given."""
        return self._encoder_folders

    def canvas(self) -> Canvas:
        """Nothing is made that could be looked at in part."""
        return Canvas()

    def feature_cache(self) -> DiskCache | None:
        """Nothing is kept."""
        return None

    def full_precision(self) -> AbstractContextManager[object]:
        """Nothing is cast here unless the caller does it."""
        return without_autocast(self.device)

    def fail(self, error: IPAdapterError) -> None:
        """Ends what is being done."""
        raise error

    def notice(self, sentence: str) -> None:
        """To the log."""
        LOG.warning(sentence)
