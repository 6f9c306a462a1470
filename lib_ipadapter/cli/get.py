"""``get``: the table of published files, and one of them from the hub into its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TransferSpeedColumn
from rich.progress import Progress as Bar
from rich.table import Column, Table

from lib_ipadapter.session.published import PUBLISHED, find_published
from lib_ipadapter.session.remote import Published, Shelf, megabytes

if TYPE_CHECKING:
    from lib_ipadapter.session.arriving import Progress

MODELS = Path(__file__).resolve().parents[2] / "models"
"""The extension's own folder, which the WebUI searches too."""


ROOMY, WHOLE = 120, 180
"""Columns that a terminal needs for the whole table, and the table's width where there is no terminal."""
LEFT_OUT = ("for", "SHA-256 begins")
"""Headings for which a narrow terminal has no room."""


def get(
    name: Annotated[str | None, typer.Argument(help="What to get; without it, the table of what there is.")] = None,
    *,
    to: Annotated[Path, typer.Option(help="A folder `models`, of the WebUI for instance.")] = MODELS,
) -> None:
    """Download a published adapter, with the encoder it needs unless that is there; or list them all."""
    if name is None:
        show_table(to)
        return
    wanted = find_published(name)
    from lib_ipadapter.session.needs import with_encoder  # noqa: PLC0415 - torch takes seconds to import

    for item in with_encoder(wanted, [to / Shelf.ENCODERS.value]):
        download(item, to / item.shelf.value)


def show_table(models: Path) -> None:
    """Everything that is published, and which of it is in `models`."""
    console = Console()
    if not console.is_terminal:  # a file, or another program: nothing is to be squeezed for it
        console = Console(width=WHOLE)
    rows = [row_of(item, models) for item in PUBLISHED]
    shown = [name for name in rows[0] if console.width >= ROOMY or name not in LEFT_OUT]
    table = Table(*(Column(name, no_wrap=name in ("name", "needs")) for name in shown))
    for row in rows:
        table.add_row(*(row[name] for name in shown))
    console.print(table)
    typer.echo(f"`get NAME` downloads one, and the encoder it needs, into {models}; --to takes another folder.")


def row_of(item: Published, models: Path) -> dict[str, str]:
    """What the table says of one file, by heading."""
    return {
        "name": item.name,
        "for": item.about,
        "needs": item.encoder or "",
        "size": megabytes(item.size),
        "licence": item.repository.licence.value,
        "SHA-256 begins": (item.weights.sha256 or "")[:12],
        "there": "yes" if item.is_in(models / item.shelf.value) else "",
    }


def download(item: Published, folder: Path) -> None:
    """One entry of the table, with a bar on standard error."""
    # Only now: the client reads once, when it is imported, whether it is switched off.
    from lib_ipadapter.session.arriving import Watch  # noqa: PLC0415
    from lib_ipadapter.session.download import get as get_files  # noqa: PLC0415

    typer.echo(f"{item.name}, {megabytes(item.size)}, licence: {item.repository.licence.value}")
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {file.target.name: bar.add_task(file.target.name, total=file.size) for file in item.files}

        def show(progress: Progress) -> None:
            bar.update(tasks[progress.name], completed=progress.done, total=progress.total)

        said = get_files(item, folder, Watch(show))
    typer.echo(said)
