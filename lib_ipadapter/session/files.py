"""Adapters and encoders on disk: listed from folders, found by name."""

from __future__ import annotations

import difflib
import os
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lib_ipadapter.errors import UnitError, some
from lib_ipadapter.model.weights_file import SUFFIXES

WhyNot = Callable[[Path], str]
"""Why a file there cannot be used, in a few words; empty when it can."""

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
        for path in _walk(folder)
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
        paths = list(_walk(folder))
        parts = {home: parts_of(home) for home in {path.parent for path in paths if path != folder}}
        for path in paths:
            home = path.parent
            if path in parts.get(home, ()):
                name = home.relative_to(folder).as_posix() if home != folder else folder.name
                found.append(ModelFile(name, home))
            elif path == folder or path.suffix.lower() in SUFFIXES:
                found.append(ModelFile(_name(path, folder), path))
    return _in_order(dict.fromkeys(found))


def find(name: str, folders: Sequence[Path], why_not: WhyNot | None = None) -> ModelFile:
    """The adapter called `name`: with or without folder, suffix or a ``[hash]``, upper or lower case.

    A name is only ever compared with what is in `folders`; it is never opened as a path.
    Raises `UnitError` that lists where was searched, what is there, and, by `why_not`, what cannot be used and why.
    """
    # Before twins are one entry: a file is found by its whole name also where its twin is the one that is listed.
    if match := named(name, every_file(folders)):
        return match
    files = list_files(folders)
    rejected = {file.name: why for file in files if why_not and (why := why_not(file.path))}
    there = some(file.name for file in files if file.name not in rejected)
    rejected |= {path.name: f"its suffix is none of {', '.join(SUFFIXES)}" for path in _misnamed(name, folders)}
    raise UnitError(
        f"There is no IP-Adapter model called {name!r}; found {there} in {', '.join(map(str, folders))}"
        f"{looked_at(name, rejected)}; put the file there and press refresh."
    )


def named(name: str, files: Sequence[ModelFile]) -> ModelFile | None:
    """The one of `files` that `name` stands for."""
    for wanted in dict.fromkeys((_key(name), _key(name.split(" [", maxsplit=1)[0]))):
        for form in NAME_FORMS:
            if match := next((file for file in files if _key(form(file)) == wanted), None):
                return match
    return None


def saved_folders(adapter_folders: Sequence[Path], name: str) -> list[Path]:
    """Below each adapter folder the one called `name`; of an adapter's file, beside it."""
    return [(folder.parent if folder.is_file() else folder) / name for folder in adapter_folders]


SAVED_BY = {"face": "face", "image prompt": "encode"}
"""What can be saved -> the command that makes one from a picture."""


def find_saved(what: str, name: str, files: Sequence[ModelFile], folders: Sequence[Path]) -> ModelFile:
    """The one of `files`, which are those in `folders`, that is called `name`, spelled freely. Raises `UnitError`."""
    if found := named(name, files):
        return found
    there = some(file.name for file in files)
    raise UnitError(
        f"There is no saved {what} called {name!r}; found {there} in {' or '.join(map(str, folders))}; make one with"
        f" `python -m lib_ipadapter {SAVED_BY[what]} PICTURE OUT.safetensors`."
    )


def looked_at(name: str, seen: Mapping[str, str]) -> str:
    """Part of a sentence: what was there instead, name -> what is with it, those with a name like `name` first."""
    if not seen:
        return ""
    near = sorted(seen, key=lambda other: -difflib.SequenceMatcher(None, _key(name), _key(other)).ratio())
    return "; also there: " + some(f"{other} ({seen[other]})" for other in near)


NAME_FORMS: tuple[Callable[[ModelFile], str], ...] = (
    lambda file: file.name,
    lambda file: file.name + file.path.suffix,
    lambda file: file.path.stem,
    lambda file: file.path.name,
)
"""How a file may be called, the most exact first."""


def _misnamed(name: str, folders: Iterable[Path]) -> list[Path]:
    """Files called like `name` with a suffix that no weights have, as of a download that was not finished."""
    stem = _key(name).split("/")[-1].split(".")[0]
    others = (path for folder in folders for path in _walk(folder) if path.suffix.lower() not in SUFFIXES)
    return [path for path in others if stem and _key(path.name).split(".")[0] == stem]


def _key(name: str) -> str:
    """How names are compared: without case, without stray spaces, and an accent is one sign or two (Apple's way)."""
    plain = unicodedata.normalize("NFC", " ".join(name.replace("\\", "/").split()))
    return unicodedata.normalize("NFC", plain.casefold())


def _in_order(files: Iterable[ModelFile]) -> list[ModelFile]:
    """By name; of one name those of the earlier folder first, and in a folder safetensors before pickles."""
    return sorted(files, key=lambda file: _key(file.name))


def _one_of_each(files: Iterable[ModelFile]) -> list[ModelFile]:
    """The first of each name."""
    found: dict[str, ModelFile] = {}
    for file in files:
        found.setdefault(_key(file.name), file)
    return list(found.values())


def _name(path: Path, folder: Path) -> str:
    return path.stem if path == folder else path.relative_to(folder).with_suffix("").as_posix()


def _walk(folder: Path) -> Iterator[Path]:
    """Files below `folder`, sorted, safetensors first; a folder reached twice through links is entered once."""
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
        yield from (Path(home, name) for name in sorted(files, key=lambda name: (not _safe(name), name)))


def _safe(name: str) -> bool:
    """Whether a file of this name holds weights and nothing that could run."""
    return name.lower().endswith((".safetensors", ".sft"))
