"""``python -m pocket.demo``: three references, four prompts, three scales, on the weights that `make pocket` trains."""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

from lib_ipadapter.cli.quiet import quieten
from lib_ipadapter.errors import IPAdapterError
from pocket.draw import draw
from pocket.scenes import Scene, Thing
from pocket.sheet import Cell, contact_sheet

if TYPE_CHECKING:
    from pocket.facts import Fact

REFERENCES = (
    Scene((Thing("circle", "purple", "striped", "big", "centre"),), "cream", "watercolour", 3),
    Scene((Thing("star", "red", "checked", "big", "centre"),), "sky", "outlined"),
    Scene((Thing("ring", "teal", "spotted", "big", "centre"),), "rose", "flat"),
)
PROMPTS = ("", "a star", "a small cross on the left", "a triangle on mint background")
SCALES = (0.0, 0.5, 1.0)
SEED = 4


def exhibit() -> tuple[Image.Image, list[Fact]]:
    """The contact sheet, and what was measured on the way."""
    from pocket.facts import SHOWN, Evidence, measure  # noqa: PLC0415 - diffusers speaks when it is imported
    from pocket.studio import Studio, unit_of_each  # noqa: PLC0415

    studio, count = Studio(), len(REFERENCES)
    plain = studio.draw_each([PROMPTS[0]] * count, [SEED] * count)
    references = [draw(scene) for scene in REFERENCES]
    drawn: dict[Cell, Image.Image] = {}
    for prompt, scale in tqdm([*product(PROMPTS, SCALES)], "drawing", unit="row"):
        row = studio.draw_each([prompt] * count, [SEED] * count, unit_of_each(SHOWN, references, scale))
        drawn |= {(prompt, number, scale): picture for number, picture in enumerate(row)}
    sheet = contact_sheet(
        references,
        PROMPTS,
        SCALES,
        drawn,
        title="IP-Adapter: a picture as a prompt",
        note="The pocket model, its base adapter, the same noise: along a row only reference and scale change.",
    )
    return sheet, list(measure(Evidence(studio, plain, drawn, SEED)))


def show(facts: list[Fact]) -> None:
    """The measurements as a table."""
    table = Table(title="Measured", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading in ("claim", "measured", ""):
        table.add_column(heading)
    for fact in facts:
        table.add_row(fact.claim, fact.measured, "yes" if fact.holds else "NO")
    Console(width=120).print(table)


def main(output: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("outputs/demo.png")) -> None:
    """Steer a small Stable Diffusion by three pictures, and measure that all is as claimed."""
    quieten()
    try:
        sheet, facts = exhibit()
    except IPAdapterError as error:
        typer.echo(str(error), err=True)
        sys.exit(2)
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output)
    show(facts)
    typer.echo(f"Look at {output}.")
    if failed := [fact.claim for fact in facts if not fact.holds]:
        typer.echo(f"The demo expected what does not hold here: {'; '.join(failed)}.", err=True)
        sys.exit(1)


if __name__ == "__main__":
    typer.run(main)
