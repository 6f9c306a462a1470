"""What there is to choose from, for the page and the API: adapters, encoders, faces, presets; and their memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from lib_ipadapter.errors import AmbiguousError, CheckpointError, HostError, NotAnAdapterError, UnitError
from lib_ipadapter.model.encoder_files import encoder_parts
from lib_ipadapter.model.identity import Depth
from lib_ipadapter.model.variant import ENCODERS, Feature, Kind, Variant
from lib_ipadapter.patch.layers import CrossAttention, cross_attentions, why_not
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.encoders import in_short
from lib_ipadapter.session.faces import face_folders, list_faces
from lib_ipadapter.session.files import ModelFile, list_encoders, list_files
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.naming import MISFIT, UNCLEAR, UNUSABLE, find, marked
from lib_ipadapter.session.presets import Presets
from lib_ipadapter.session.unit import Unit

NONE = "None"
"""The WebUI's word for no choice."""


def choices(folders: Sequence[Path], unet: nn.Module | None) -> list[str]:
    """Every adapter by name; what does not fit the loaded UNet is marked, not left out.

    A mark stands in brackets after the name, where `find` ignores it, so the marked name is as good as the bare one.
    """
    layers = _layers(unet)
    entries = (_entry(file, layers) for file in list_files(folders))
    return [NONE, *(entry for entry in entries if entry)]


def names(folders: Sequence[Path]) -> list[str]:
    """Every adapter by its bare name, whether or not it fits."""
    return [file.name for file in list_files(folders) if _entry(file, ())]


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


def faces(folders: Sequence[Path]) -> list[str]:
    """Every saved face by name. `folders`: those of adapters."""
    return [NONE, *(file.name for file in list_faces(face_folders(folders)))]


def adapters(folders: Sequence[Path], unet: nn.Module | None) -> list[dict[str, Any]]:
    """Every adapter for the API: what it is, whether it fits the loaded UNet, and why not.

    ``fits`` is null without a UNet, and of a file that may be several things: these are its ``kinds``. It is false of
    one that is damaged.
    """
    layers = _layers(unet)
    found: list[dict[str, Any]] = []
    for file in list_files(folders):
        row = {"name": file.name, "variant": None, "base": None, "encoder": None, "kinds": []}
        why = LIBRARY.why_not(file.path, layers)
        fits = not why if layers else None
        try:
            about = LIBRARY.variant(file.path, depth=Depth.HEADER)
            row |= {"variant": about.kind.value, "base": about.base.value, "encoder": about.encoder}
        except NotAnAdapterError:
            continue
        except AmbiguousError as error:
            row["kinds"], fits = list(error.choices), None
        except CheckpointError:
            fits = False
        found.append({**row, "fits": fits, "why": why})
    return found


def encoders(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Every image encoder for the API, with the widths of what it gives, or why it is none."""
    found: list[dict[str, Any]] = []
    for file in list_encoders(folders, encoder_parts):
        why = _why_no_encoder(file)
        sizes = None if why else LIBRARY.sizes(file.path)
        widths = {feature.value: sizes.width(feature) if sizes else None for feature in Feature}
        known = ENCODERS[Feature.HIDDEN_STATES].get(sizes.hidden_size) if sizes else None
        found.append({"name": file.name, "encoder": known, **widths, "why": why})
    return found


def encoder_names(folders: Sequence[Path], model: str, adapter_folders: Sequence[Path]) -> list[str]:
    """Those of `encoders` that can be used with the adapter called `model`, or, where none is called so, at all."""
    found = [file for file in list_encoders(folders, encoder_parts) if not _why_no_encoder(file)]
    if model == NONE:  # the word is nobody's name: no folder need be searched for it
        return [file.name for file in found]
    try:
        wanted = _may_be(find(model, adapter_folders).path)
    except (UnitError, CheckpointError):  # what is wrong with it stands in the list of models
        return [file.name for file in found]
    return [file.name for file in found if any(not LIBRARY.sizes(file.path).why_not(variant) for variant in wanted)]


def presets(folder: Path, folders: Callable[[], Sequence[Path]]) -> Presets:
    """Those in `folder`, with models called by their files' names. `folders`: gives those of adapters."""
    return Presets(folder, lambda name: bare_name(name, folders()))


def looked_at(unit: Unit, folders: Sequence[Path]) -> str:
    """What a unit's adapter makes of its pictures, where it does not look at all of them; empty where it does."""
    if not unit.model:  # nobody's name: no folder need be searched for it
        return ""
    try:
        about = LIBRARY.variant(find(unit.model, folders).path, unit.choice, Depth.HEADER)
    except (UnitError, CheckpointError):  # what is wrong with it stands in the list of models
        return ""
    if about.face is None:
        return ""
    if about.feature:
        return "only the face in it is looked at, turned and cut out"
    return "not looked at beside the face that is given" if unit.face else "only whose face is in it is looked at"


def unload() -> str:
    """Frees what is kept in memory; gives a sentence for the page."""
    return f"IP-Adapter: {LIBRARY.unload() / 1e6:.0f} MB of memory are free again."


def clear_cache(folder: Path) -> str:
    """Removes what is kept of pictures on the disk; gives a sentence for the page."""
    return f"IP-Adapter: {DiskCache(folder, 0).clear() / 1e6:.0f} MB of encoded pictures are removed."


def no_cache() -> str:
    """The same where nothing is kept."""
    return "IP-Adapter: no encoded pictures are kept here."


def _layers(unet: nn.Module | None) -> tuple[CrossAttention, ...]:
    try:
        return cross_attentions(unet) if unet is not None else ()
    except HostError:
        return ()


def _may_be(path: Path) -> list[Variant]:
    """All that an adapter file can be taken for."""
    try:
        return [LIBRARY.variant(path, depth=Depth.HEADER)]
    except AmbiguousError as error:
        return [LIBRARY.variant(path, Kind(kind), Depth.HEADER) for kind in error.choices]


def _why_no_encoder(file: ModelFile) -> str:
    try:
        LIBRARY.sizes(file.path)
    except CheckpointError as error:
        return in_short(error, file.path)
    return ""


def _entry(file: ModelFile, layers: tuple[CrossAttention, ...]) -> str:
    """Empty for a model of another kind, as ControlNet's folder is full of."""
    try:
        variant = LIBRARY.variant(file.path, depth=Depth.HEADER)
    except NotAnAdapterError:
        return ""
    except AmbiguousError:
        return marked(file.name, UNCLEAR)
    except CheckpointError:
        return marked(file.name, UNUSABLE)
    misfit = why_not(variant, layers) if layers else ""
    return marked(file.name, f"{MISFIT}: {misfit}") if misfit else file.name
