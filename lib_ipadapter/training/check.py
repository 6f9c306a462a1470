"""Looks at all data before a step is made, and says what is wrong with it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

from PIL import Image

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.picture import as_rgb
from lib_ipadapter.model.weights_file import sha256
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.entries import Entry, read_entries
from lib_ipadapter.training.records import Problem, Rejected
from lib_ipadapter.training.remembered import HashOf

AT_ONCE = 4096
"""Entries that are looked at side by side: a million would wait in as many objects."""

NAMED = 20
"""Entries that a refusal names."""
OPTIONS = {Problem.TINY: "a lower --min-side", Problem.EMPTY_CAPTION: "--empty-captions"}
"""What takes entries that are skipped otherwise."""


@dataclass(frozen=True)
class Example:
    """An entry that can be used, and what its files contain."""

    entry: Entry
    image_hash: str
    """SHA-256 of the file's bytes; caches go by it."""
    reference_hash: str

    @property
    def identity(self) -> str:
        """Equal for two examples exactly when training cannot tell them apart."""
        return f"{self.image_hash}:{self.reference_hash}:{self.entry.text}"


@dataclass(frozen=True)
class Report:
    """What can be trained on, and what cannot."""

    examples: list[Example]
    rejected: list[Rejected]

    @property
    def counts(self) -> dict[str, int]:
        """Problem -> how many entries."""
        return dict(Counter(item.problem.value for item in self.rejected).most_common())

    @property
    def data_hash(self) -> str:
        """Of everything that is trained on, in its order."""
        return data_hash(self.examples)

    def without(self, corrupt: Collection[Example]) -> Report:
        """Less these, which were found out later. Entries may share a name: one picture, several references."""
        lost = set(corrupt)
        rejected = [Rejected(e.entry.name, Problem.CORRUPT) for e in self.examples if e in lost]
        kept = [example for example in self.examples if example not in lost]
        return replace(self, examples=kept, rejected=[*self.rejected, *rejected])

    def __str__(self) -> str:
        found = ", ".join(f"{count} {problem}" for problem, count in self.counts.items())
        return f"{counted(len(self.examples), 'usable entry')}; skipped: {found or 'none'}"


def counted(count: int, word: str) -> str:
    """As "1 entry" or "2 entries"; `word` is for one, and ends with y."""
    return f"{count} {word if count == 1 else word.removesuffix('y') + 'ies'}"


def data_hash(examples: Iterable[Example]) -> str:
    """Of contents in their order."""
    return hashlib.sha256("\n".join(example.identity for example in examples).encode()).hexdigest()


def examine(
    config: TrainConfig,
    *,
    thorough: bool,
    progress: Callable[[Iterable, int], Iterable] = lambda items, _: items,
    hash_of: HashOf = sha256,
) -> Report:
    """Reads all entries. `thorough` decodes every picture; otherwise only headers are looked at.

    `progress` wraps the loop over the entries, so many of them. Raises `TrainingError` when nothing is usable.
    """
    entries, rejected = read_entries(config.data, config.image_root, config.output)
    with ThreadPoolExecutor() as pool:
        parts = (entries[start : start + AT_ONCE] for start in range(0, len(entries), AT_ONCE))
        looked = (pool.map(lambda entry: look(entry, config, hash_of, thorough=thorough), some) for some in parts)
        results = list(progress(chain.from_iterable(looked), len(entries)))
    examples: dict[str, Example] = {}
    for result in results:
        if isinstance(result, Rejected):
            rejected.append(result)
        elif result.identity in examples:
            first = examples[result.identity].entry.name
            rejected.append(Rejected(result.entry.name, Problem.DUPLICATE, f"of {first}"))
        else:
            examples[result.identity] = result
    report = Report(list(examples.values()), rejected)
    if not examples:
        raise TrainingError(f"{config.data} holds nothing to train on: {report}. {_advice(rejected)}")
    return report


def _advice(rejected: list[Rejected]) -> str:
    """The first of them, and the options by which such as these are taken."""
    some = ", ".join(map(str, rejected[:NAMED])) + (", ..." if len(rejected) > NAMED else "")
    options = [option for problem, option in OPTIONS.items() if any(one.problem is problem for one in rejected)]
    return f"{some}; {' and '.join(options)} takes more." if options else f"{some}."


def look(entry: Entry, config: TrainConfig, hash_of: HashOf, *, thorough: bool) -> Example | Rejected:
    """One entry with its files."""
    if not entry.text and not config.empty_captions:
        return Rejected(entry.name, Problem.EMPTY_CAPTION)
    files = dict.fromkeys([entry.image, entry.reference])
    for path in files:
        shortest = config.shortest if path == entry.image else 1
        if problem := look_at(path, shortest, thorough=thorough):
            return Rejected(entry.name, problem[0], problem[1])
    try:
        hashes = {path: hash_of(path) for path in files}
    except OSError as error:  # somebody took it away meanwhile, or the disk fails
        return Rejected(entry.name, Problem.MISSING, reason(error))
    return Example(entry, hashes[entry.image], hashes[entry.reference])


def look_at(path: Path, shortest: int, *, thorough: bool) -> tuple[Problem, str] | None:
    """What is wrong with a picture, if anything."""
    try:
        there = path.is_file()
    except OSError as error:  # a name too long to ask for
        return Problem.MISSING, reason(error)
    if not there:
        return Problem.MISSING, path.name
    try:
        with Image.open(path) as image:
            size = image.size
            if thorough:
                as_rgb(image)
    except Exception as error:  # Pillow's formats fail each in a way of its own
        return Problem.CORRUPT, reason(error)
    if min(size) < shortest:
        return Problem.TINY, f"{size[0]} x {size[1]}, shorter side below {shortest}"
    return None
