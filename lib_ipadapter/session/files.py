"""Adapters and encoders on disk: listed from folders, found by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_ipadapter.errors import UnitError

SUFFIXES = (".safetensors", ".bin", ".pt", ".pth")


@dataclass(frozen=True)
class ModelFile:
    """A file, or an encoder's folder, and the name under which it is chosen."""

    name: str
    """Path below the searched folder with forward slashes; without the suffix, for a file."""
    path: Path


def list_files(folders: Sequence[Path]) -> list[ModelFile]:
    """Everything in `folders` that could be a model, by name; where two have one name the earlier folder wins.

    In place of a folder a single file may stand, for a host whose user named the file itself.
    """
    found: dict[str, ModelFile] = {}
    for folder in folders:
        for path in _walk(folder):
            if path.suffix.lower() in SUFFIXES:
                name = _name(path, folder)
                found.setdefault(_key(name), ModelFile(name, path))
    return sorted(found.values(), key=lambda file: _key(file.name))


def list_encoders(folders: Sequence[Path], is_encoder_folder: Callable[[Path], bool]) -> list[ModelFile]:
    """Single files, and folders that transformers could load."""
    found: dict[str, ModelFile] = {}
    for folder in folders:
        for path in _walk(folder):
            home = path.parent
            if path != folder and is_encoder_folder(home):
                name = home.relative_to(folder).as_posix() if home != folder else folder.name
                found.setdefault(_key(name), ModelFile(name, home))
            elif path.suffix.lower() in SUFFIXES:
                name = _name(path, folder)
                found.setdefault(_key(name), ModelFile(name, path))
    return sorted(found.values(), key=lambda file: _key(file.name))


def find(name: str, folders: Sequence[Path]) -> ModelFile:
    """The adapter called `name`: with or without folder, suffix or a ``[hash]``, upper or lower case.

    A name is only ever compared with what is in `folders`; it is never opened as a path.
    Raises `UnitError` that lists where was searched and what is there.
    """
    files = list_files(folders)
    for wanted in dict.fromkeys((_key(name), _key(name.split(" [", maxsplit=1)[0]))):
        for form in NAME_FORMS:
            if match := next((file for file in files if _key(form(file)) == wanted), None):
                return match
    there = ", ".join(f.name for f in files[:8]) + (" ..." if len(files) > 8 else "") if files else "nothing"
    raise UnitError(
        f"There is no IP-Adapter model called {name!r}; found {there} in {', '.join(map(str, folders))};"
        " put the file there and press refresh."
    )


NAME_FORMS: tuple[Callable[[ModelFile], str], ...] = (
    lambda file: file.name,
    lambda file: file.name + file.path.suffix,
    lambda file: file.path.stem,
    lambda file: file.path.name,
)
"""How a file may be called, the most exact first."""


def _key(name: str) -> str:
    """How names are compared: without case and without stray spaces."""
    return " ".join(name.replace("\\", "/").split()).casefold()


def _name(path: Path, folder: Path) -> str:
    return path.stem if path == folder else path.relative_to(folder).with_suffix("").as_posix()


def _walk(folder: Path) -> Iterator[Path]:
    """Files below `folder`, sorted; a folder reached twice through links is entered once."""
    if folder.is_file():
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
        yield from (Path(home, name) for name in sorted(files))
