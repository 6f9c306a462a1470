"""``python -m pocket.features``: each feature in one picture and one API payload -> docs/features.md."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import typer
from PIL import Image, ImageDraw, ImageOps
from tqdm import tqdm

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.prompts import path_for, prompt_folders, write_prompt
from lib_ipadapter.session.unit import TOPICS, Unit
from lib_ipadapter.session.unit.field import Field, Type, fields_of
from pocket import ship
from pocket.examples import EXAMPLES
from pocket.examples.example import Cell, Example, parsed
from pocket.examples.others import SAVED_AS, SAVED_FROM
from pocket.examples.pictures import PICTURES
from pocket.jobs import perform
from pocket.sheet import FAINT, GAP, INK, LINE, PAPER, font, rounded
from pocket.studio import GUIDANCE, STEPS, Studio

DOCS = Path(__file__).parents[1] / "docs"
TEXT, SHEETS = DOCS / "features.md", DOCS / "features"
HEAD = """# What a unit can do

Every field of a unit by topic, as the panel folds them; in the API fields go by name, and what is left out takes its
default. A picture is base64, bare or as a data URI; a path or an address is refused.

Each picture below was drawn by the pocket model, and each payload is run by a test: send it to `/sdapi/v1/txt2img`, or,
where it has `init_images`, to `/sdapi/v1/img2img`, with pictures in base64 where their names stand
([these](features/pictures)) and a model of your own.
Left of the line is what goes in, right of it what comes out, always with the same noise: {steps} steps of DPM++ 2M, CFG
scale {guidance:g}, 128 x 128 where the payload says nothing else. A small world is not the large one: what the
published adapters make of a setting differs in strength.

{topics}
"""
EVERYDAY = "Picture, adapter, scale"
"""Heading of the topic that has no title in the page."""
TILE, MARGIN, CAPTION, SQUARE, ROW = 160, 24, 34, 8, 5
"""Pixels; the most pictures in a row."""


def draw_sheet(studio: Studio, example: Example) -> Image.Image:
    """What goes in, a line, what comes out."""
    names = [*(name.removesuffix(".png") for name in example.pictures), *example.behind]
    into = [(PICTURES[name](), name) for name in names]
    out = [(draw_cell(studio, example, cell), cell.caption) for cell in example.cells]
    return lay_out(into, out)


def draw_cell(studio: Studio, example: Example, cell: Cell) -> Image.Image:
    """What comes of a cell's payload."""
    prompt = example.prompt if cell.prompt is None else cell.prompt
    return perform(studio, example.job, prompt, example.seed, parsed(cell.units))


def save_prompt(studio: Studio, home: Path) -> None:
    """The one that examples call by its name, in a folder of the studio's."""
    picture = Unit(image=PICTURES[SAVED_FROM]())
    prompt = studio.library.image_prompt(picture, ship.adapter_path(Kind.BASE), studio.host)
    write_prompt(prompt, path_for(SAVED_AS, prompt_folders([home])))


Labelled = Sequence[tuple[Image.Image, str]]


def lay_out(into: Labelled, out: Labelled) -> Image.Image:
    """Pictures with their captions, in as many rows as they need."""
    rows = -(-len(out) // ROW)
    columns = -(-len(out) // rows)  # as even as can be
    left = MARGIN + len(into) * (TILE + GAP) + (2 * MARGIN if into else 0)
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
    sheet.paste(rounded(ImageOps.pad(_seen(image), (TILE, TILE), color=PAPER), TILE), at)
    letters = next(size for size in (15, 13, 11, 9) if pen.textlength(caption, font(size)) < TILE + GAP or size == 9)
    pen.text((at[0] + TILE / 2, at[1] + TILE + CAPTION / 2), caption, ink, font(letters), anchor="mm")


def _seen(image: Image.Image) -> Image.Image:
    """What is transparent over squares, as in a picture editor."""
    rows, columns = np.indices((image.height, image.width)) // SQUARE
    squares = Image.fromarray(np.where((rows + columns) % 2, 205, 240).astype(np.uint8))
    return Image.alpha_composite(squares.convert("RGBA"), image.convert("RGBA")).convert("RGB")


def page() -> str:
    """The whole text."""
    topics = " · ".join(f"[{title or EVERYDAY}](#{anchor(title or EVERYDAY)})" for title in TOPICS)
    head = HEAD.format(steps=STEPS, guidance=GUIDANCE, topics=topics)
    return "\n".join([head, *(part(title) for title in TOPICS)])


def anchor(heading: str) -> str:
    """Of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def part(title: str) -> str:
    """One topic: its fields, and what they do."""
    fields = fields_of(TOPICS[title])
    rows = [f"| `{f.name}` | {shown(f.default)} | {within(f)} | {f.about} |" for f in fields]
    table = "\n".join(["| field | default | values | meaning |", "|---|---|---|---|", *rows])
    return "\n".join([f"## {title or EVERYDAY}\n\n{table}\n", *map(section, EXAMPLES[title])])


def shown(value: Any) -> str:
    """A default, as JSON has it."""
    return "" if value in (None, ()) else f"`{json.dumps(value)}`"


def within(field: Field) -> str:
    """What a field may hold."""
    if field.type in (Type.NUMBER, Type.INTEGER):
        return f"{field.minimum:g} to {field.maximum:g}"
    return ", ".join(f"`{choice}`" for choice in field.choices) or field.type.value


def section(example: Example) -> str:
    """One feature's part of it."""
    prompt = f"Prompt: *{example.prompt}*." if example.prompt else "No prompt."
    said = f"{example.about} {prompt}" if example.drawn else example.about
    payload = json.dumps(example.payload, indent=2, ensure_ascii=False)
    picture = [f"![{example.title}](features/{example.name}.png)"] if example.drawn else []
    return "\n\n".join([f"### {example.title}", said, *picture, f"```json\n{payload}\n```"]) + "\n"


def main(
    only: Annotated[list[str] | None, typer.Argument(help="Names of examples; all, if not given.")] = None,
) -> None:
    """Draw the examples and write the page."""
    known = [example for examples in EXAMPLES.values() for example in examples]
    wanted = [example for example in known if not only or example.name in only]
    (SHEETS / "pictures").mkdir(parents=True, exist_ok=True)
    for name in {name for example in wanted for name in example.pictures}:
        PICTURES[name.removesuffix(".png")]().save(SHEETS / "pictures" / name)
    with TemporaryDirectory() as home:
        studio = Studio(Path(home))
        save_prompt(studio, Path(home))
        for example in tqdm([example for example in wanted if example.drawn], "drawing", unit="sheet"):
            draw_sheet(studio, example).save(SHEETS / f"{example.name}.png", optimize=True)
    TEXT.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
