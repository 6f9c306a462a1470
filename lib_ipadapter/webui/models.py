"""The list of adapters in the panel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from lib_ipadapter.errors import CheckpointError, HostError, NotAnAdapterError, UnitError
from lib_ipadapter.patch.layers import CrossAttention, cross_attentions, why_not
from lib_ipadapter.session.files import ModelFile, find, list_files
from lib_ipadapter.session.library import LIBRARY

NONE = "None"
"""The WebUI's word for no choice."""


def choices(folders: Sequence[Path], unet: nn.Module | None) -> list[str]:
    """Every adapter by name; what does not fit the loaded UNet is marked, not left out.

    A mark stands in brackets after the name, where `find` ignores it, so the marked name is as good as the bare one.
    """
    layers = _layers(unet)
    entries = (_entry(file, layers) for file in list_files(folders))
    return [NONE, *(entry for entry in entries if entry)]


def choice(name: str, folders: Sequence[Path], unet: nn.Module | None) -> str | None:
    """The entry of the list that `name`, perhaps with suffix or another mark, stands for."""
    try:
        return _entry(find(name, folders), _layers(unet)) or None
    except UnitError:
        return None


def bare_name(name: str, folders: Sequence[Path]) -> str:
    """The name of a file without suffix and marks; unknown ones as they are."""
    try:
        return find(name, folders).name
    except UnitError:
        return name


def _layers(unet: nn.Module | None) -> tuple[CrossAttention, ...]:
    try:
        return cross_attentions(unet) if unet is not None else ()
    except HostError:
        return ()


def _entry(file: ModelFile, layers: tuple[CrossAttention, ...]) -> str:
    """Empty for a model of another kind, as ControlNet's folder is full of."""
    try:
        variant = LIBRARY.variant(file.path)
    except NotAnAdapterError:
        return ""
    except CheckpointError:
        return f"{file.name} [cannot be used]"
    misfit = why_not(variant, layers) if layers else ""
    return f"{file.name} [does not fit: {misfit}]" if misfit else file.name
