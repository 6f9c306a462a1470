"""Adapters, encoders, faces and prompts found by the names that people write."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

from lib_ipadapter.errors import UnitError, some
from lib_ipadapter.model.weights_file import SUFFIXES
from lib_ipadapter.session.files import ModelFile, comparable, every_file, files_below, list_files

WhyNot = Callable[[Path], str]
"""Why a file there cannot be used, in a few words; empty when it can."""

UNCLEAR, UNUSABLE, MISFIT = "choose its kind", "cannot be used", "does not fit"
"""What a list says of a file, behind its name: `marked`."""

MARK = re.compile(rf"(?:{UNCLEAR}|{UNUSABLE}|{MISFIT}(?:: [^\[\]]*)?|[0-9a-f]{{8,64}})\]\s*", re.IGNORECASE)
"""The rest of a mark; one of other lists is a file's hash. Whatever else stands in brackets is a part of the name."""

MOST_MARKS = 2
"""Ours, behind a hash: more has no list."""


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
    for wanted in map(comparable, islice(_unmarked(name), 1 + MOST_MARKS)):
        for form in NAME_FORMS:
            if match := next((file for file in files if comparable(form(file)) == wanted), None):
                return match
    return None


def marked(name: str, mark: str) -> str:
    """`name` as a list shows it; `named` finds the file by that all the same."""
    return f"{name} [{mark}]"


def _unmarked(name: str) -> Iterator[str]:
    """`name` as it stands, and with one mark after the other taken off its end: a file's own brackets come before."""
    yield name
    while (parts := name.rpartition(" [")) and MARK.fullmatch(parts[2]):
        yield (name := parts[0])


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
    near = sorted(seen, key=lambda other: -difflib.SequenceMatcher(None, comparable(name), comparable(other)).ratio())
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
    stem = comparable(name).split("/")[-1].split(".")[0]
    others = (path for folder in folders for path in files_below(folder) if path.suffix.lower() not in SUFFIXES)
    return [path for path in others if stem and comparable(path.name).split(".")[0] == stem]
