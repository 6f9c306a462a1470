"""``encode``: pictures become a small file that stands for them wherever the same adapter is used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lib_ipadapter.cli.fields import ABOUT, DEFAULT
from lib_ipadapter.cli.target import check_target


def encode(
    pictures: Annotated[list[Path], typer.Argument(help="One or several.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors to write.")],
    *,
    adapter: Annotated[Path, typer.Option(help="The adapter file.")],
    encoder: Annotated[Path | None, typer.Option(help="The image encoder: its folder, or a single file.")] = None,
    kind: Annotated[str | None, typer.Option(help=ABOUT["kind"])] = None,
    combine: Annotated[str, typer.Option(help=ABOUT["combine"])] = DEFAULT["combine"],
    weights: Annotated[str, typer.Option(help=ABOUT["weights"])] = DEFAULT["weights"],
    device: Annotated[str | None, typer.Option(help="cuda, mps or cpu; the best there is.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Save pictures as an image prompt, which needs no encoder any more: in models/ip-adapter/prompts units find it."""
    from lib_ipadapter.cli.device import open_device, within_memory  # noqa: PLC0415 - torch takes seconds to import
    from lib_ipadapter.cli.files import check_files  # noqa: PLC0415
    from lib_ipadapter.cli.unit import read_picture  # noqa: PLC0415
    from lib_ipadapter.hosts.without import NoHost  # noqa: PLC0415
    from lib_ipadapter.session.library import LIBRARY  # noqa: PLC0415
    from lib_ipadapter.session.prompts import write_prompt  # noqa: PLC0415
    from lib_ipadapter.session.unit import Unit  # noqa: PLC0415

    check_target(out, force=force)
    images = [read_picture(path) for path in pictures]
    how = {"combine": combine, "weights": weights} | ({"kind": kind} if kind else {})
    unit = Unit.parse({"images": images, "model": adapter.stem, **how})
    check_files(adapter, encoder, unit)
    with within_memory():
        host = NoHost(open_device(device), adapter_folders=[adapter], encoder_folders=[encoder] if encoder else [])
        saved = LIBRARY.image_prompt(unit, adapter, host)
    write_prompt(saved, out)
    items, tokens, width = saved.embeds.cond.shape
    several = f"{items} x " if items > 1 else ""
    typer.echo(f"{out}: {several}{tokens} tokens {width} wide, for {adapter.name}")
