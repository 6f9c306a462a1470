"""What the command line says of a unit: by options, and by ``--set FIELD=VALUE`` what has no option of its own."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face_file import read_face
from lib_ipadapter.session.files import is_file
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Type


def read_unit(options: Mapping[str, Any], settings: Sequence[str]) -> Unit:
    """A unit from options, None being none, and from ``FIELD=VALUE``, which win. Raises `IPAdapterError`."""
    given = {name: str(value) for name, value in options.items() if value is not None}
    given |= dict(_divided(setting) for setting in settings)
    types = {field.name: field.type for field in FIELDS}
    unit = Unit.parse({name: READERS.get(types.get(name), str)(value) for name, value in given.items()})
    unit.check_alone()
    if unit.active and unit.blank:
        raise UnitError(
            "There is no reference picture; name one by --image, a face by --face, or a saved image prompt by"
            " --set embeds=NAME."
        )
    if unit.active:
        unit.check()
    return unit


def read_picture(path: Path) -> Image.Image:
    """The picture at `path`. Raises `UnitError`."""
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except FileNotFoundError:
        raise UnitError(f"There is no picture {path}.") from None
    except Image.DecompressionBombError:
        raise UnitError(f"{path} has too many pixels to be read; make it smaller.") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise UnitError(f"{path} is not a picture that can be read; give a PNG, JPEG or WebP.") from error


def pictures_named(options: Mapping[str, Any], settings: Sequence[str]) -> list[Path]:
    """Paths of the pictures that options and ``FIELD=VALUE`` name, as `read_unit` takes them."""
    given = [(name, str(value)) for name, value in options.items() if value is not None]
    types = {field.name: field.type for field in FIELDS}
    said = [(types.get(name), value) for name, value in [*given, *map(_divided, settings)] if value]
    one = [Path(value) for kind, value in said if kind in (Type.PICTURE, Type.MASK)]
    return [*one, *(path for kind, value in said if kind is Type.PICTURES for path in _paths(value))]


def _divided(setting: str) -> tuple[str, str]:
    name, equals, value = setting.partition("=")
    if not equals:
        names = ", ".join(field.name for field in FIELDS)
        raise UnitError(f"--set takes FIELD=VALUE, got {setting!r}; the fields are {names}.")
    return name.strip(), value.strip()


def _face(value: str) -> Any:
    """The numbers in a file; what is no file is a name, or the numbers themselves."""
    return read_face(Path(value)).tolist() if is_file(Path(value)) else value


def _paths(value: str) -> list[Path]:
    """Of several pictures, divided as the system divides its search path; a file may have that sign in its name."""
    return [Path(value)] if is_file(Path(value)) else [Path(path) for path in value.split(os.pathsep) if path]


def _pictures(value: str) -> list[Image.Image]:
    return [read_picture(path) for path in _paths(value)]


def _picture(value: str) -> Image.Image | None:
    return read_picture(Path(value)) if value else None


def _prompt(value: str) -> str:
    """The content of a file, as the API takes it; what is no file is a name."""
    path = Path(value)
    return base64.b64encode(path.read_bytes()).decode() if path.suffix and path.is_file() else value


READERS: dict[Type | None, Callable[[str], Any]] = {
    Type.PICTURE: _picture,
    Type.PICTURES: _pictures,
    Type.MASK: _picture,
    Type.EMBEDS: _prompt,
    Type.FACE: _face,
}
"""Fields that are given by a file; all others are written out."""
