"""What is published on the Hugging Face hub: repositories at one commit, their files, and where these belong here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from lib_ipadapter.session.files import is_file


class Shelf(Enum):
    """The folder below ``models`` where a kind of file belongs."""

    ADAPTERS = "ip-adapter"
    ENCODERS = "clip_vision"


class Licence(Enum):
    """What the authors allow."""

    APACHE = "Apache 2.0"
    RESEARCH = "non-commercial research only"


@dataclass(frozen=True)
class Repository:
    """One on the Hugging Face hub, at one commit."""

    name: str
    revision: str | None
    """None where no commit is established: then what is there today is taken."""
    licence: Licence


@dataclass(frozen=True)
class Remote:
    """One file of a repository."""

    path: str
    target: Path
    """Below its shelf."""
    size: int | None = None
    """Bytes, where established."""
    sha256: str | None = None
    """In hex, where established; otherwise only what the hub itself says can be checked."""


@dataclass(frozen=True)
class Published:
    """What is got in one go: an adapter, or an encoder with its configuration."""

    name: str
    about: str
    repository: Repository
    shelf: Shelf
    files: tuple[Remote, ...]
    encoder: str = ""
    """Name of the encoder that an adapter needs, if it needs one."""
    hidden_size: int = 0
    """Of an encoder: by it one that is there already is known, whatever it is called."""

    @property
    def weights(self) -> Remote:
        """The large file."""
        return self.files[-1]

    @property
    def size(self) -> int | None:
        """Bytes of the weights; what lies beside them is nothing against them."""
        return self.weights.size

    def targets(self, folder: Path) -> Iterator[tuple[Remote, Path]]:
        """Each file, and its place below `folder`, the one that holds this shelf's files."""
        return ((file, folder / file.target) for file in self.files)

    def is_in(self, folder: Path) -> bool:
        """Whether every file has its place taken, in the size that is known. Hashes nothing."""
        return all(is_file(path) and file.size in (None, path.stat().st_size) for file, path in self.targets(folder))


def megabytes(size: int | None) -> str:
    """A size for people."""
    return f"{size / 1e6:.0f} MB" if size is not None else "size not known"
