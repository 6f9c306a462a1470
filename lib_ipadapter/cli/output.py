"""The picture that ``generate`` writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryFile

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_ipadapter.errors import HostError, UnitError, reason
from lib_ipadapter.model.writing import whole


def check_output(path: Path, pictures: Iterable[Path]) -> None:
    """Raises `IPAdapterError` where no PNG can be written, or one of `pictures` would be lost."""
    check_png(path, "--output")
    if any(path.exists() and picture.exists() and path.samefile(picture) for picture in pictures):
        raise UnitError(f"{path} is a picture that was given; choose another --output.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise HostError(f"{path} cannot be written ({reason(error)}); choose another --output.") from error


def check_png(path: Path, option: str) -> None:
    """Raises `UnitError` for a name that promises another format, or that a folder has."""
    if path.suffix.lower() != ".png":
        raise UnitError(f"A PNG is written, and {path} does not end with .png; choose another {option}.")
    if path.is_dir():
        raise UnitError(f"{path} cannot be written, because it is a folder; choose another {option}.")


def write_png(picture: Image.Image, path: Path, text: str | None = None) -> None:
    """With its parameters, if it has some, where the WebUI looks for them. Raises `HostError`."""
    info = PngInfo()
    if text is not None:
        info.add_text("parameters", text)
    with whole(path, HostError) as part:
        picture.save(part, format="PNG", pnginfo=info)
