"""``python -m pocket.features``: each feature in one picture and one API payload -> docs/features.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image, ImageDraw
from tqdm import tqdm

from pocket.examples import EXAMPLES
from pocket.examples.example import Example, parsed
from pocket.examples.pictures import PICTURES
from pocket.sheet import FAINT, GAP, INK, LINE, PAPER, font, rounded
from pocket.studio import Studio

DOCS = Path(__file__).parents[1] / "docs"
TEXT, SHEETS = DOCS / "features.md", DOCS / "features"
HEAD = """# What a unit can do

Each picture below was drawn by the pocket model, and each payload is run by a test: send it to `/sdapi/v1/txt2img`,
with pictures in base64 where their names stand ([these](features/pictures)) and a model of your own.
Left of the line is what goes in, right of it what comes out, always with the same noise. A small world is not the large
one: what the published adapters make of a setting differs in strength. `python -m pocket.features` makes this page.
"""
TILE, MARGIN, CAPTION, ROW = 160, 24, 34, 6
"""Pixels; pictures in a row."""


def draw_sheet(studio: Studio, example: Example) -> Image.Image:
    """What goes in, a line, what comes out."""
    into = [(PICTURES[name.removesuffix(".png")](), name.removesuffix(".png")) for name in example.pictures]
    out = [
        (
            studio.draw(example.prompt if cell.prompt is None else cell.prompt, example.seed, *parsed(cell.units)),
            cell.caption,
        )
        for cell in example.cells
    ]
    return lay_out(into, out)


Labelled = Sequence[tuple[Image.Image, str]]


def lay_out(into: Labelled, out: Labelled) -> Image.Image:
    """Pictures with their captions, in as many rows as they need."""
    columns = min(len(out), ROW)
    left = MARGIN + len(into) * (TILE + GAP) + (2 * MARGIN if into else 0)
    rows = -(-len(out) // columns)
    sheet = Image.new("RGB", (left + columns * (TILE + GAP) + MARGIN, MARGIN + rows * (TILE + CAPTION + GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, one in enumerate(into):
        _tile(sheet, pen, one, (MARGIN + number * (TILE + GAP), MARGIN))
    if into:
        pen.line((left - 1.4 * MARGIN, MARGIN, left - 1.4 * MARGIN, sheet.height - MARGIN), fill=LINE, width=2)
    for number, one in enumerate(out):
        row, column = divmod(number, columns)
        _tile(sheet, pen, one, (left + column * (TILE + GAP), MARGIN + row * (TILE + CAPTION + GAP)), INK)
    return sheet


def _tile(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, one: tuple[Image.Image, str], at: tuple[int, int], ink: str = FAINT
) -> None:
    image, caption = one
    sheet.paste(rounded(image, TILE), at)
    pen.text((at[0] + TILE / 2, at[1] + TILE + CAPTION / 2), caption, ink, font(15), anchor="mm")


def page(examples: Iterable[Example] = EXAMPLES) -> str:
    """The whole text."""
    return "\n".join([HEAD, *map(section, examples)])


def section(example: Example) -> str:
    """One feature's part of it."""
    said = f"{example.about} Prompt: *{example.prompt or 'none'}*."
    payload = json.dumps(example.payload, indent=2, ensure_ascii=False)
    return (
        f"## {example.title}\n\n{said}\n\n![{example.title}](features/{example.name}.png)\n\n```json\n{payload}\n```\n"
    )


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Names of examples; all, if not given.")] = None,
) -> None:
    """Draw the examples and write the page."""
    wanted = [example for example in EXAMPLES if not only or example.name in only]
    (SHEETS / "pictures").mkdir(parents=True, exist_ok=True)
    for name in {name for example in wanted for name in example.pictures}:
        PICTURES[name.removesuffix(".png")]().save(SHEETS / "pictures" / name)
    studio = Studio()
    for example in tqdm(wanted, "drawing", unit="sheet"):
        draw_sheet(studio, example).save(SHEETS / f"{example.name}.png", optimize=True)
    TEXT.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
