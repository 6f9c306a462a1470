"""Files that are there whole or not at all, whoever reads or writes them meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from safetensors import SafetensorError

from lib_ipadapter.errors import CheckpointError, IPAdapterError, reason


def check_free(path: Path, *, force: bool, failure: type[IPAdapterError] = CheckpointError) -> None:
    """Raises `failure` where another file would be lost."""
    if path.exists() and not force:
        raise failure(f"{path} is there already; choose another name, or say --force.")


@contextmanager
def whole(path: Path, failure: type[IPAdapterError] = CheckpointError) -> Iterator[Path]:
    """A place beside `path` to write to. It takes the name when the block has ended well; else the old file stays.

    Raises `failure` where nothing can be written. Folders on the way are made.
    """
    part = path.with_name(f".{uuid4().hex}{path.suffix}.part")  # `tempfile` would let nobody else read it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        part.replace(path)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch has the second for a full disk
        raise failure(
            f"{path} cannot be written ({reason(error)}); choose another place, or make room there."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
