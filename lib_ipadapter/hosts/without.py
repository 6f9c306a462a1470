"""No host at all: enough to encode pictures by, without a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch
from torch import nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.hosts.standalone import StandaloneHost
from lib_ipadapter.session.host import BeginStep


class NoHost(StandaloneHost):
    """Has folders and a device, and nothing that could be drawn with."""

    def __init__(
        self, device: torch.device, *, adapter_folders: Sequence[Path] = (), encoder_folders: Sequence[Path] = ()
    ) -> None:
        dtype = torch.float16 if device.type == "cuda" else torch.float32
        super().__init__(device, dtype, adapter_folders=adapter_folders, encoder_folders=encoder_folders)

    def unet(self) -> nn.Module:
        """There is none."""
        raise HostError("There is no checkpoint here to draw with; use `generate`.")

    def follow(self, begin_step: BeginStep) -> AbstractContextManager[None]:
        """Nothing will ever be sampled."""
        raise HostError("There is no checkpoint here to draw with; use `generate`.")
