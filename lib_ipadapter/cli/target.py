"""The file that a command writes, looked at before anything else is done."""

from __future__ import annotations

from pathlib import Path

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.writing import check_free


def check_target(path: Path, *, force: bool, pictures: int) -> None:
    """Raises `UnitError` where another file would be lost: whoever forgets OUT has named a picture there.

    `pictures`: how many were named before.
    """
    if path.suffix.lower() != ".safetensors":
        raise UnitError(f"The last name is that of the file to write, and {path} does not end with .safetensors.")
    if not pictures:
        raise UnitError(f"There is no picture: before {path}, the file to write, name one or several.")
    check_free(path, force=force, failure=UnitError)
