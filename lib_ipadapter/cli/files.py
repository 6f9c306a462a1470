"""Files that a command is given, looked at before gigabytes are read."""

from __future__ import annotations

from pathlib import Path

from lib_ipadapter.errors import AmbiguousError, UnitError
from lib_ipadapter.model.encoder_sizes import read_sizes
from lib_ipadapter.model.identity import identify
from lib_ipadapter.session.unit import Unit


def check_files(adapter: Path, encoder: Path | None, unit: Unit) -> None:
    """What headers tell, before gigabytes are read. Raises `CheckpointError` or `UnitError`."""
    try:
        variant = identify(adapter, unit.choice)
    except AmbiguousError as error:
        raise error.asking("give --kind") from None
    needed = f"{variant.encoder} ({variant.feature_label})"
    if not variant.feature or (unit.embeds and not unit.composition_image):
        return
    if encoder is None:
        raise UnitError(f"{adapter.name} needs an image encoder, {needed}: name it by --encoder.")
    sizes = read_sizes(encoder)
    if not sizes.fits(variant):
        raise UnitError(f"{encoder.name} is not the image encoder of {adapter.name}: expected {needed}, got {sizes}.")
