"""Everything the demo does between the command and the file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from lib_ipadapter.cli.facts import Evidence, Fact, measure
from lib_ipadapter.cli.references import references
from lib_ipadapter.cli.sheet import contact_sheet
from lib_ipadapter.cli.studio import KINDS, Shot, Studio, unit_of

SCALES = (0.0, 0.5, 1.0)


def exhibit() -> tuple[Image.Image, list[Fact]]:
    """The contact sheet, and what was measured on the way."""
    with TemporaryDirectory() as folder:
        studio, images = Studio(Path(folder)), references()
        plain = studio.plain()
        shots = [Shot(name, kind, scale) for name in images for kind in KINDS for scale in SCALES]
        drawn = {shot: studio.draw(unit_of(shot, images)) for shot in tqdm(shots, desc="drawing", unit="picture")}
        facts = list(measure(Evidence(studio, images, plain, drawn)))
    sheet = contact_sheet(
        images,
        drawn,
        title="IP-Adapter: a picture as a prompt",
        note="SD1.5's structure in miniature, random weights, latents shown as colours. Same noise and text everywhere:"
        " along a row only adapter and scale change, down a column only the reference.",
    )
    return sheet, facts


def show(facts: list[Fact]) -> None:
    """The measurements as a table."""
    table = Table(title="Measured", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("claim", "measured", ""):
        table.add_column(heading)
    for fact in facts:
        table.add_row(fact.claim, fact.measured, "[green]yes[/green]" if fact.holds else "[red]NO[/red]")
    Console().print(table)
