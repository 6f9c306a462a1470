"""The file that a command writes, looked at before anything else is done."""

from __future__ import annotations

from pathlib import Path

from lib_ipadapter.errors import UnitError


def check_target(path: Path, *, force: bool) -> None:
    """Raises `UnitError` where another file would be lost: whoever forgets OUT has named a picture there."""
    if path.suffix.lower() != ".safetensors":
        raise UnitError(f"The last name is that of the file to write, and {path} does not end with .safetensors.")
    if path.exists() and not force:
        raise UnitError(f"{path} is there already; choose another name, or say --force.")
