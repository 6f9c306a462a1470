"""The picture that a unit means: its own, the job's input, one of a folder by name, or all in there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from lib_ipadapter.errors import UnitError, reason
from lib_ipadapter.hosts.a1111_folders import reference_folder
from lib_ipadapter.model.picture import decoded
from lib_ipadapter.session.library import LIBRARY, Pictures
from lib_ipadapter.session.stamps import stamp
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.parsers import MAX_PICTURES
from lib_ipadapter.session.unit.passes import Source
from lib_ipadapter.webui.jobs import batch_file
from lib_ipadapter.webui.reference_files import SUFFIXES, inside, pictures_in, read_file

LONGEST = 768
"""Pixels of the longer side of each picture of a whole folder; encoders see 224 to 448."""


def with_picture(unit: Unit, jobs: Sequence[Any]) -> Unit:
    """`unit` with the picture that it means in the last of `jobs`, which stand inside each other. Raises `UnitError`.

    A unit that cannot act needs none.
    """
    if not unit.active or unit.reference == Source.PICTURE:
        return unit
    try:
        return _with_reference(unit, jobs)
    except OSError as error:
        raise UnitError(
            f"IP-Adapter: the reference folder cannot be read ({reason(error)}); let the WebUI read it, or name"
            " another in Settings > IP-Adapter."
        ) from error


def _with_reference(unit: Unit, jobs: Sequence[Any]) -> Unit:
    if unit.reference == Source.WHOLE_FOLDER:
        first, *others = _whole_folder(unit.reference_folder)
        return replace(unit, image=first, images=tuple(others))
    image = _input(jobs) if unit.reference == Source.INPUT else _from_folder(unit.reference_folder)
    return replace(unit, image=decoded(image))


def folders() -> list[str]:
    """Names of the folders that there are to choose from; none where they cannot be read, which a job then says."""
    root = reference_folder()
    try:
        found = [*root.iterdir()] if root and root.is_dir() else []
        return sorted(
            path.name for path in found if path.is_dir() and path.name[0] != "." and inside(path, root or path)
        )
    except OSError:
        return []


def _input(jobs: Sequence[Any]) -> Image.Image:
    """The outermost job's: what a detailer begins with is this job's own work."""
    given = next((images for job in jobs if (images := getattr(job, "init_images", None))), None)
    if not given:
        raise UnitError(
            "IP-Adapter: reference is 'input', but txt2img has no input picture; use img2img, or choose 'picture'."
        )
    if any(image is not given[0] for image in given):
        raise UnitError(
            f"IP-Adapter: reference is 'input', but this batch has {len(given)} different input pictures;"
            " set the batch size to 1."
        )
    return given[0]


def _from_folder(name: str | None) -> Image.Image:
    """The picture that is called as the batch's file at hand is, whatever its suffix."""
    folder, file = _folder(name), batch_file()
    if file is None:
        raise UnitError(
            "IP-Adapter: reference is 'folder', which is for img2img's Batch tab: each of its files gets the reference"
            " of the same name; choose 'picture' or 'input' here."
        )
    wanted = file.stem.casefold()
    found = [path for path in pictures_in(folder) if path.stem.casefold() == wanted]
    if not found:
        raise UnitError(
            f"IP-Adapter: the reference folder has no picture called {file.stem!r}, as the batch's file is; add one"
            f" ({', '.join(SUFFIXES)})."
        )
    return read_file(found[0])


def _whole_folder(name: str | None) -> tuple[Image.Image, ...]:
    """Every picture in there, by name, and no larger than any encoder looks; kept as long as its files stay."""
    paths = pictures_in(_folder(name))
    if not 0 < len(paths) <= MAX_PICTURES:
        raise UnitError(
            f"IP-Adapter: the reference folder has {len(paths)} pictures; 'whole folder' takes 1 to {MAX_PICTURES}"
            f" ({', '.join(SUFFIXES)})."
        )
    return LIBRARY.pictures.get(tuple(map(stamp, paths)), lambda: Pictures(tuple(map(_small, paths)))).items


def _small(path: Path) -> Image.Image:
    image = decoded(read_file(path, LONGEST))
    image.thumbnail((LONGEST, LONGEST))
    return image


def _folder(name: str | None) -> Path:
    root = reference_folder()
    if root is None or not root.is_dir():
        raise UnitError("IP-Adapter: the reference is in a folder; name that folder in Settings > IP-Adapter first.")
    folder = root / name if name else root
    if not (folder.is_dir() and inside(folder, root)):
        raise UnitError(
            f"IP-Adapter: the reference folder has no folder {name!r}; there are {', '.join(folders()) or 'none'}."
        )
    return folder
