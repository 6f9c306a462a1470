"""Reference pictures by name, from the one folder that the user has set aside for that."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from lib_ipadapter.errors import UnitError, reason, some
from lib_ipadapter.session.files import ModelFile, list_files
from lib_ipadapter.session.naming import named
from lib_ipadapter.webui.decoding import open_picture

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff")
"""Of files that are looked at."""

MOST_BYTES = 64 << 20
"""Of a file that is opened."""


def names(folder: Path | None) -> list[str]:
    """Every picture in `folder` and below, without its suffix; none where no folder is set."""
    return [file.name for file in _files(folder)]


def find_reference(name: str, folder: Path | None) -> Path:
    """The picture called `name`. Raises `UnitError`.

    A name is only ever compared with what is in the folder; it is never opened as a path. So whoever may only call
    the API sees no other picture of this machine.
    """
    if folder is None:
        raise UnitError(
            "No folder of reference pictures is set; set one in Settings > IP-Adapter, and name a picture in there."
        )
    found = named(name, list_files([folder], SUFFIXES))
    if found and inside(found.path, folder):
        return found.path
    there = some(file.name for file in _files(folder))
    raise UnitError(f"There is no reference picture called {name[:80]!r}; found {there} in the folder that is set.")


def read_reference(name: str, folder: Path | None) -> Image.Image:
    """The picture itself. Raises `UnitError`."""
    return read_file(find_reference(name, folder))


def read_file(path: Path, longest: int | None = None) -> Image.Image:
    """The picture at `path`; if only so many pixels of its longer side are wanted, quickly. Raises `UnitError`."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UnitError(f"IP-Adapter: {path.name} is larger than {MOST_BYTES >> 20} MB; make it smaller.")
        return open_picture(path.read_bytes(), path.name, longest=longest, advice="put a PNG, JPEG or WebP there")
    except OSError as error:
        raise UnitError(f"IP-Adapter: {path.name} cannot be read ({reason(error)}).") from error


def pictures_in(folder: Path) -> list[Path]:
    """The picture files in `folder` itself, by name. What a system or a link puts there is none."""
    found = sorted(folder.iterdir(), key=lambda path: path.name.casefold())
    return [path for path in found if path.suffix.lower() in SUFFIXES and _is_picture(path, folder)]


def _is_picture(path: Path, folder: Path) -> bool:
    return not path.name.startswith(".") and path.is_file() and inside(path, folder)


def inside(path: Path, folder: Path) -> bool:
    """Whether it is no link that leads out: a name that strangers may send must not."""
    return path.resolve().is_relative_to(folder.resolve())


def _files(folder: Path | None) -> list[ModelFile]:
    if folder is None:
        return []
    real = folder.resolve()
    return [file for file in list_files([folder], SUFFIXES) if file.path.resolve().is_relative_to(real)]
