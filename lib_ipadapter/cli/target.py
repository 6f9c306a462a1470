"""The file that a command writes, looked at before anything else is done."""

from __future__ import annotations

from pathlib import Path

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.writing import check_free


def check_target(path: Path, *, force: bool) -> None:
    """Raises `UnitError` where another file would be lost: whoever forgets OUT has named a picture there."""
    if path.suffix.lower() != ".safetensors":
        raise UnitError(f"The last name is that of the file to write, and {path} does not end with .safetensors.")
    check_free(path, force=force, failure=UnitError)
