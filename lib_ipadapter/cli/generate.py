"""``generate``: a checkpoint, an adapter, a picture and a prompt become a PNG."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from lib_ipadapter.cli.fields import ABOUT, DEFAULT
from lib_ipadapter.session.unit.passes import OF_A_JOB

ELSEWHERE = ("model", "encoder", "reference_folder", *(name for name, *_ in OF_A_JOB))
"""Fields that have an option of another name, or a meaning only in a job of the WebUI."""
FACE = "A saved face for FaceID files: its file, or its name in the folder faces beside the adapter."
ANY = (
    f"Any field of a unit, as often as needed; a picture is a path, and several are divided by {os.pathsep}."
    f" The fields: {', '.join(name for name in ABOUT if name not in ELSEWHERE)}."
)
MOST_SEED = (1 << 64) - 1
SIZE = "In pixels; what the checkpoint says, if not given."


def generate(
    checkpoint: Annotated[Path, typer.Argument(help="A diffusers folder, or a single file, of SD1.5 or SDXL.")],
    *,
    adapter: Annotated[Path, typer.Option(help="The adapter file.")],
    encoder: Annotated[
        Path | None, typer.Option(help="The image encoder: its folder, or a single file. FaceID alone needs none.")
    ] = None,
    image: Annotated[Path | None, typer.Option(help=ABOUT["image"])] = None,
    face: Annotated[str | None, typer.Option(help=FACE)] = None,
    kind: Annotated[str | None, typer.Option(help=ABOUT["kind"])] = None,
    fields: Annotated[list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help=ANY)] = None,
    prompt: Annotated[str, typer.Option(help="What to draw.")] = "",
    negative: Annotated[str, typer.Option(help="What not to draw.")] = "",
    scale: Annotated[float, typer.Option(help=ABOUT["scale"])] = DEFAULT["scale"],
    start: Annotated[float, typer.Option(help=ABOUT["start"])] = DEFAULT["start"],
    end: Annotated[float, typer.Option(help=ABOUT["end"])] = DEFAULT["end"],
    steps: Annotated[int, typer.Option(min=1, max=1000, help="Denoiser steps.")] = 30,
    guidance: Annotated[float, typer.Option(min=1, help="Classifier-free guidance; 1 switches it off.")] = 7.5,
    width: Annotated[int | None, typer.Option(min=64, help=SIZE)] = None,
    height: Annotated[int | None, typer.Option(min=64, help=SIZE)] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=MOST_SEED, help="Of the noise; drawn, if not given.")] = None,
    sampler: Annotated[str | None, typer.Option(help="ddim, euler, dpm++2m ...; the checkpoint's own.")] = None,
    output: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("outputs/generated.png"),
    config: Annotated[Path | None, typer.Option(help="YAML of a single file; else the one beside it.")] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="CLIP tokenizer folder for a single file.")] = None,
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is.")] = None,
) -> None:
    """Make a picture with a reference picture as a prompt. Reads local files only."""
    given = locals()
    from lib_ipadapter.cli.picture import Request, make  # noqa: PLC0415 - diffusers takes seconds to import

    picture, seed = make(Request(**given), say=partial(typer.echo, err=True))
    typer.echo(f"{output}: {picture.width} x {picture.height}, seed {seed}")
