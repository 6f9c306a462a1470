"""``face``: the faces in pictures become a small file that stands for them wherever a FaceID adapter is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lib_ipadapter.cli.output import check_png, write_png
from lib_ipadapter.cli.target import check_target
from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.writing import check_free

if TYPE_CHECKING:
    from lib_ipadapter.model.face import FaceAnalyser, FaceFeatures


def face(
    pictures: Annotated[list[Path], typer.Argument(help="One face is taken from each.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
    *,
    index: Annotated[int, typer.Option(min=0, help="Which face of each picture; 0 is the largest.")] = 0,
    crop: Annotated[Path | None, typer.Option(help="Write the first picture's aligned face here, as PNG.")] = None,
    models: Annotated[
        list[Path] | None, typer.Option(help="Folder with insightface's models/buffalo_l; else ~/.insightface.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Save the embeddings of faces, for machines without insightface and for use again and again."""
    check_target(out, force=force)
    if crop:
        check_png(crop, "--crop")
        check_free(crop, force=force, failure=UnitError)
    import torch  # noqa: PLC0415 - takes seconds to import

    from lib_ipadapter.model.face_file import write_face  # noqa: PLC0415
    from lib_ipadapter.model.insight import InsightFace  # noqa: PLC0415

    analyser = InsightFace.open(models or [Path.home() / ".insightface"], otherwise="")
    found = [_features(path, index, analyser) for path in pictures]
    write_face(out, torch.cat([one.raw for one in found]))
    if crop:
        write_png(found[0].crop, crop)
    typer.echo(f"{out}: {len(found)} {'face' if len(found) == 1 else 'faces'}")


def _features(path: Path, index: int, analyser: FaceAnalyser) -> FaceFeatures:
    """Of one face in the picture at `path`. Raises `UnitError` that names the picture."""
    from lib_ipadapter.cli.unit import read_picture  # noqa: PLC0415 - torch takes seconds to import
    from lib_ipadapter.model.face import FoundFaces, features  # noqa: PLC0415

    image = read_picture(path)
    try:
        return features(image, FoundFaces.of(image, analyser).chosen(index))
    except UnitError as error:
        raise UnitError(f"{path.name}: {error}") from None
