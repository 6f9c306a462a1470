"""What can go wrong, as sentences for people.

::

    IPAdapterError
    ├── CheckpointError    a file is not what it should be
    │   ├── NotAnAdapterError   it is a model of another kind; lists leave it out
    │   └── AmbiguousError      it may be one of several kinds, and only the user can say which
    ├── UnitError          what the user asked for cannot be done
    ├── DownloadError      a published file could not be got
    ├── TrainingError      a training run cannot begin, or cannot go on
    └── HostError          the WebUI or the UNet around us is not as needed

Each message says what was expected, what was found, and what to do.
Mistakes of our own are assertions, not these.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Iterator


class IPAdapterError(Exception):
    """Base of everything that a user can mend."""


class CheckpointError(IPAdapterError):
    """A file is not what it should be."""


class NotAnAdapterError(CheckpointError):
    """The file is a model of another kind, which a shared folder may well hold."""


class AmbiguousError(CheckpointError):
    """The file may be one of several kinds, which neither shapes, metadata, content hash nor name tell apart."""

    def __init__(self, message: str, choices: tuple[str, ...]) -> None:
        super().__init__(message, choices)
        self.choices = choices
        """Kinds of `lib_ipadapter.model.variant` that the file can be opened as."""

    def __str__(self) -> str:
        return self.args[0]

    def asking(self, how: str) -> AmbiguousError:
        """The same where the user can be told how to say it: `how`, and then the kinds."""
        return AmbiguousError(f"{str(self).rstrip('.')}; or {how} {' or '.join(self.choices)}.", self.choices)


class UnitError(IPAdapterError):
    """What the user asked for cannot be done."""


class DownloadError(IPAdapterError):
    """A published file could not be got, or not whole."""


class TrainingError(IPAdapterError):
    """A training run cannot begin, or cannot go on."""


class HostError(IPAdapterError):
    """The WebUI or the UNet around us is not as needed."""


def reason(error: BaseException) -> str:
    """Why, as a part of a sentence, without a path: what libraries raise has several lines, or none."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


TOO_LITTLE_MEMORY = re.compile(
    r"(not enough|can'?t allocate|cannot allocate) memory|bad.?alloc|paging file|(os error |winerror |code: <)1455\b",
    re.IGNORECASE,
)
"""What torch, safetensors and systems say then; Windows' own words are in its user's language, its number is not."""


def from_too_little_memory(error: BaseException) -> bool:
    """Whether it says that this machine, not its GPU, has no memory left."""
    if isinstance(error, MemoryError) or getattr(error, "winerror", None) == 1455:
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return TOO_LITTLE_MEMORY.search(str(error)) is not None


def unreadable(error: BaseException, what: str, otherwise: str) -> CheckpointError:
    """What to raise where reading `what` has failed: `otherwise`, unless too little memory is why."""
    if from_too_little_memory(error):
        return CheckpointError(
            f"There is too little memory (RAM) to read {what}; close other programs, or enlarge the paging file (swap)."
        )
    return CheckpointError(otherwise)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that led to it, the latest first."""
    found: BaseException | None = error
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def headline(sentence: str) -> str:
    """What is wrong, without the advice and without an end, for where there is no room for more."""
    return sentence.split("; ", maxsplit=1)[0].rstrip(".")


def some(names: Iterable[str], most: int = 8) -> str:
    """The first few for a message."""
    found = list(names)
    return (", ".join(found[:most]) + (" ..." if len(found) > most else "")) or "nothing"
