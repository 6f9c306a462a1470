"""The demo's picture: references across the top, prompts down the side, scales next to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont

TILE, GAP, GROUP, MARGIN, SIDE, HEAD, FOOT = 160, 8, 28, 48, 210, 330, 70
PAPER, INK, FAINT, LINE = "#faf8f3", "#1f2328", "#8a8578", "#d9d4c7"

Cell = tuple[str, int, float]
"""Prompt, number of the reference, scale."""


def contact_sheet(
    references: Sequence[Image.Image],
    prompts: Sequence[str],
    scales: Sequence[float],
    drawn: Mapping[Cell, Image.Image],
    *,
    title: str,
    note: str,
) -> Image.Image:
    """All pictures with their labels."""
    width = left_of(len(references) - 1, len(scales), len(scales)) + MARGIN
    sheet = Image.new("RGB", (width, HEAD + len(prompts) * (TILE + GAP) + FOOT), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 36), title, INK, font(32))
    pen.text((MARGIN, sheet.height - 46), note, FAINT, font(17))
    for number, reference in enumerate(references):
        _head(sheet, pen, reference, number, scales)
    for row, prompt in enumerate(prompts):
        top = HEAD + row * (TILE + GAP)
        pen.multiline_text((MARGIN, top + TILE / 2), _broken(prompt), INK, font(19), anchor="lm", spacing=6)
        for number in range(len(references)):
            for column, scale in enumerate(scales):
                tile = rounded(drawn[prompt, number, scale], TILE)
                sheet.paste(tile, (left_of(number, column, len(scales)), top))
    return sheet


def left_of(reference: int, column: int, columns: int) -> int:
    """Pixels to the left edge of a tile."""
    return MARGIN + SIDE + reference * (columns * (TILE + GAP) + GROUP) + column * (TILE + GAP)


def _head(
    sheet: Image.Image, pen: ImageDraw.ImageDraw, reference: Image.Image, number: int, scales: Sequence[float]
) -> None:
    """A reference over the middle of its columns, a rule, and the scales."""
    left, right = left_of(number, 0, len(scales)), left_of(number, len(scales), len(scales)) - GAP
    sheet.paste(rounded(reference, TILE), ((left + right - TILE) // 2, HEAD - TILE - 62))
    pen.line((left, HEAD - 44, right, HEAD - 44), fill=LINE, width=2)
    for column, scale in enumerate(scales):
        middle = left_of(number, column, len(scales)) + TILE / 2
        pen.text((middle, HEAD - 22), f"scale {scale:g}", FAINT, font(17), anchor="mm")


def _broken(prompt: str) -> str:
    """In lines that fit beside the tiles."""
    lines = [""]
    for word in (f'"{prompt}"' if prompt else "(no text)").split():
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1] + word) < 19 else [*lines, word]
    return "\n".join(lines)


def rounded(image: Image.Image, side: int) -> Image.Image:
    """`side` pixels wide, with soft corners."""
    mask = Image.new("L", (side * 4, side * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, side * 4 - 1, side * 4 - 1), radius=40, fill=255)
    tile = image.convert("RGB").resize((side, side), Image.Resampling.LANCZOS)
    return Image.composite(tile, Image.new("RGB", tile.size, PAPER), mask.resize(tile.size, Image.Resampling.LANCZOS))


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that Pillow brings along."""
    return ImageFont.load_default(size)
