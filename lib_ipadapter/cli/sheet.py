"""The contact sheet: references on the left, a column for each adapter and scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from lib_ipadapter.cli.studio import KINDS, Shot
from lib_ipadapter.model.variant import Kind

TILE, GAP, MARGIN, HEAD, FOOT = 224, 14, 48, 168, 76
PAPER, INK, FAINT, LINE = "#faf8f3", "#1f2328", "#8a8578", "#d9d4c7"

PALETTE = ("#1d2b53", "#2a7f8e", "#f2c57c", "#e4572e", "#fbf3e4")
"""One colour for each latent channel, and one for where none is strong."""

Column = tuple[str, str, Shot | None]
"""Heading, sub-heading, and the shot (its reference left open); None for the reference itself."""


def contact_sheet(
    images: Mapping[str, Image.Image], drawn: Mapping[Shot, Tensor], *, title: str, note: str
) -> Image.Image:
    """All pictures with their labels."""
    scales = sorted({shot.scale for shot in drawn})
    columns = columns_of(scales)
    width = 2 * MARGIN + len(columns) * (TILE + GAP)
    sheet = Image.new("RGB", (width, HEAD + len(images) * (TILE + GAP) + FOOT), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, 34), title, INK, font(30))
    pen.text((MARGIN, sheet.height - 46), note, FAINT, font(16))
    head_columns(pen, columns)
    for row, (name, image) in enumerate(images.items()):
        for column, (_, _, shot) in enumerate(columns):
            tile = image if shot is None else visible(drawn[Shot(name, shot.kind, shot.scale)])
            sheet.paste(rounded(tile), place(column, row))
    return sheet


def columns_of(scales: Sequence[float]) -> list[Column]:
    """The reference, then scale 0 once (it is the same for every adapter), then each adapter's scales."""
    shots = [Shot("", kind, scale) for kind in KINDS for scale in scales if scale]
    adapters: list[Column] = [(f"{shot.kind.value} adapter", f"scale {shot.scale:g}", shot) for shot in shots]
    return [("reference", "", None), ("no adapter", "scale 0", Shot("", Kind.BASE, 0.0)), *adapters]


def head_columns(pen: ImageDraw.ImageDraw, columns: Sequence[Column]) -> None:
    """A heading over each group of columns, with a rule, and a scale over each column."""
    for index, (heading, below, _) in enumerate(columns):
        left, _ = place(index, 0)
        again = index and columns[index - 1][0] == heading
        if not again:
            pen.text((left, HEAD - 68), heading, INK, font(20))
        pen.line((left - (GAP if again else 0), HEAD - 40, left + TILE, HEAD - 40), fill=LINE, width=2)
        pen.text((left, HEAD - 32), below, FAINT, font(16))


def place(column: int, row: int) -> tuple[int, int]:
    """Upper left corner of a tile; the reference stands a little apart."""
    return MARGIN + column * (TILE + GAP) + (GAP if column else 0), HEAD + row * (TILE + GAP)


def visible(latents: Tensor) -> Image.Image:
    """Latents as colours: each channel pulls towards its own, so that a change of the latents is a change of hue.

    The untrained decoder is left out, because it would only add its own pattern.
    """
    smooth = F.interpolate(latents / latents.std(), size=(TILE * 2, TILE * 2), mode="bicubic", align_corners=False)
    pulls = torch.cat([smooth * 2.2, torch.full_like(smooth[:, :1], 0.4)], dim=1).softmax(dim=1)
    colours = torch.tensor([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in PALETTE], dtype=pulls.dtype)
    pixels = torch.einsum("nchw,cd->nhwd", pulls, colours)[0]
    return Image.fromarray(pixels.clamp(0, 255).round().to(torch.uint8).numpy())


def rounded(image: Image.Image) -> Image.Image:
    """At the size of a tile, with soft corners."""
    mask = Image.new("L", (TILE * 4, TILE * 4), 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, TILE * 4 - 1, TILE * 4 - 1), radius=48, fill=255)
    tile = image.resize((TILE, TILE), Image.Resampling.LANCZOS)
    return Image.composite(tile, Image.new("RGB", tile.size, PAPER), mask.resize(tile.size, Image.Resampling.LANCZOS))


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The one that Pillow brings along."""
    return ImageFont.load_default(size)
