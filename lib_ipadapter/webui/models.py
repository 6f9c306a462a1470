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


def choices(folders: Sequence[Path], unet: nn.Module | None) -> list[tuple[str, str]]:
    """(label, name) of every adapter; what does not fit the loaded UNet is marked, not left out."""
    layers = _layers(unet)
    labelled = [(_label(file, layers), file.name) for file in list_files(folders)]
    return [(NONE, NONE), *((label, name) for label, name in labelled if label)]


def resolve(name: str, folders: Sequence[Path]) -> str | None:
    """The name in the list that `name`, perhaps with suffix or another case, stands for."""
    try:
        return find(name, folders).name
    except UnitError:
        return None


def _layers(unet: nn.Module | None) -> tuple[CrossAttention, ...]:
    try:
        return cross_attentions(unet) if unet is not None else ()
    except HostError:
        return ()


def _label(file: ModelFile, layers: tuple[CrossAttention, ...]) -> str:
    """Empty for a model of another kind, as ControlNet's folder is full of."""
    try:
        variant = LIBRARY.variant(file.path)
    except NotAnAdapterError:
        return ""
    except CheckpointError:
        return f"{file.name} (cannot be used)"
    misfit = why_not(variant, layers) if layers else ""
    return f"{file.name} (does not fit: {misfit})" if misfit else file.name
