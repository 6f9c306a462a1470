"""What hosts without a WebUI around them have in common: folders that are given, and nothing to hide."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.maths.precision import without_autocast
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import Canvas

LOG = logging.getLogger(__name__)


class StandaloneHost:
    """All of a `Host` but its UNet."""

    def __init__(
        self,
        device: torch.device,
        dtype: torch.dtype,
        *,
        adapter_folders: Sequence[Path] = (),
        encoder_folders: Sequence[Path] = (),
        cache: DiskCache | None = None,
    ) -> None:
        self.device = device
        self.dtype = dtype
        self._adapter_folders = adapter_folders
        self._encoder_folders = encoder_folders
        self._cache = cache

    def canvas(self) -> Canvas:
        """Whole pictures are made here, of sizes that are told when they are."""
        return Canvas()

    def adapter_folders(self) -> Sequence[Path]:
        """As given."""
        return self._adapter_folders

    def encoder_folders(self) -> Sequence[Path]:
        """As given."""
        return self._encoder_folders

    def feature_cache(self) -> DiskCache | None:
        """As given."""
        return self._cache

    def full_precision(self) -> AbstractContextManager[object]:
        """Nothing is cast here unless the caller does it."""
        return without_autocast(self.device)

    def fail(self, error: IPAdapterError) -> None:
        """Ends what is being done."""
        raise error

    def notice(self, sentence: str) -> None:
        """To the log."""
        LOG.warning(sentence)

    def remark(self, sentence: str) -> None:
        """To the log."""
        LOG.warning(sentence)
