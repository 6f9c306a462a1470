"""Adapters and encoders on disk, listed from folders."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_ipadapter.model.weights_file import SUFFIXES

PartsOf = Callable[[Path], Collection[Path]]
"""The files in a folder that together are one encoder; none where the folder is none. Given, not imported: what tells
them imports transformers, which takes seconds."""


@dataclass(frozen=True)
class ModelFile:
    """A file, or an encoder's folder, and the name under which it is chosen."""

    name: str
    """Path below the searched folder with forward slashes; without the suffix, for a file."""
    path: Path


def list_files(folders: Sequence[Path], suffixes: Sequence[str] = SUFFIXES) -> list[ModelFile]:
    """Everything in `folders` that could be a model, by name; where two have one name the earlier folder wins.

    In place of a folder a single file may stand, for a host whose user named the file itself.
    """
    return _one_of_each(every_file(folders, suffixes))


def every_file(folders: Sequence[Path], suffixes: Sequence[str] = SUFFIXES) -> list[ModelFile]:
    """The same with those whose name another has too; the one that goes before is first."""
    return _in_order(
        ModelFile(_name(path, folder), path)
        for folder in folders
        for path in files_below(folder)
        # What the user named is looked at whatever its suffix: its content says what it is.
        if path == folder or path.suffix.lower() in suffixes
    )


def list_encoders(folders: Sequence[Path], parts_of: PartsOf) -> list[ModelFile]:
    """Single files, and folders that transformers could load; beside such a folder's own parts others may lie."""
    return _one_of_each(every_encoder(folders, parts_of))


def every_encoder(folders: Sequence[Path], parts_of: PartsOf) -> list[ModelFile]:
    """The same with those whose name another has too; the one that goes before is first."""
    found: list[ModelFile] = []
    for folder in folders:
        paths = list(files_below(folder))
        parts = {home: parts_of(home) for home in {path.parent for path in paths if path != folder}}
        for path in paths:
            home = path.parent
            if path in parts.get(home, ()):
                name = home.relative_to(folder).as_posix() if home != folder else folder.name
                found.append(ModelFile(printable(name), home))
            elif path == folder or path.suffix.lower() in SUFFIXES:
                found.append(ModelFile(_name(path, folder), path))
    return _in_order(dict.fromkeys(found))


def _in_order(files: Iterable[ModelFile]) -> list[ModelFile]:
    """By name; of one name those of the earlier folder first, and in a folder safetensors before pickles."""
    return sorted(files, key=lambda file: comparable(file.name))


def _one_of_each(files: Iterable[ModelFile]) -> list[ModelFile]:
    """The first of each name."""
    found: dict[str, ModelFile] = {}
    for file in files:
        found.setdefault(comparable(file.name), file)
    return list(found.values())


def _name(path: Path, folder: Path) -> str:
    return printable(path.stem if path == folder else path.relative_to(folder).with_suffix("").as_posix())


def files_below(folder: Path) -> Iterator[Path]:
    """Files below `folder`, sorted, safetensors first; a folder reached twice through links is entered once."""
    if is_file(folder):
        yield folder
        return
    seen: set[str] = set()
    for home, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(home)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield from (Path(home, name) for name in sorted(files, key=lambda name: (not _safe(name), name)))


def _safe(name: str) -> bool:
    """Whether a file of this name holds weights and nothing that could run."""
    return name.lower().endswith((".safetensors", ".sft"))


def saved_folders(adapter_folders: Sequence[Path], name: str) -> list[Path]:
    """Below each adapter folder the one called `name`; of an adapter's file, beside it."""
    return [(folder.parent if is_file(folder) else folder) / name for folder in adapter_folders]


def is_file(path: Path) -> bool:
    """Whether it is one: not, where nobody may look, nor where the name is too long for one, as base64 is."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def home_folder() -> Path | None:
    """The account's own; None where that has none, as a number without a name in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def printable(name: str) -> str:
    """A file's name as a page, an answer or a terminal takes it: it may hold a byte that is no UTF-8, as of Latin-1."""
    return name.encode("utf-8", "backslashreplace").decode()


def comparable(name: str) -> str:
    """How names are compared: without case, without stray spaces, and an accent is one sign or two (Apple's way)."""
    composed = unicodedata.normalize("NFC", " ".join(name.replace("\\", "/").split()))
    return unicodedata.normalize("NFC", composed.casefold())
