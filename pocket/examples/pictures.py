"""The pictures that go into the examples."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from PIL import Image, ImageChops, ImageFilter

from pocket.draw import draw
from pocket.scenes import BACKGROUNDS, SIZE, Scene, Thing


def scene(shape: str, colour: str, texture: str, background: str) -> Image.Image:
    """One big thing in the middle."""
    return draw(Scene((Thing(shape, colour, texture, "big", "centre"),), background, "flat"))


def side_by_side(*names: str) -> Image.Image:
    """Pictures in a row: a wide one."""
    row = [PICTURES[name]() for name in names]
    wide = Image.new("RGB", (sum(image.width for image in row), row[0].height))
    for number, image in enumerate(row):
        wide.paste(image, (number * image.width, 0))
    return wide


def stacked(*names: str) -> Image.Image:
    """Pictures above each other: a tall one."""
    column = [PICTURES[name]() for name in names]
    tall = Image.new("RGB", (column[0].width, sum(image.height for image in column)))
    for number, image in enumerate(column):
        tall.paste(image, (0, number * image.height))
    return tall


def faint() -> Image.Image:
    """Details that are hardly left."""
    return PICTURES["red-checks"]().filter(ImageFilter.GaussianBlur(2.5))


def half(left: bool) -> Image.Image:
    """A mask of one half."""
    mask = Image.new("L", (SIZE, SIZE), 0 if left else 255)
    mask.paste(255 if left else 0, (0, 0, SIZE // 2, SIZE))
    return mask


def cut_out() -> Image.Image:
    """A thing without its background."""
    image = scene("star", "red", "checked", "white").convert("RGBA")
    white = ImageChops.difference(image.convert("RGB"), Image.new("RGB", image.size, BACKGROUNDS["white"]))
    image.putalpha(white.convert("L").point([255 * (value > 12) for value in range(256)]))
    return image


PICTURES: Mapping[str, Callable[[], Image.Image]] = {
    "purple-stripes": partial(scene, "circle", "purple", "striped", "cream"),
    "red-checks": partial(scene, "star", "red", "checked", "sky"),
    "teal-spots": partial(scene, "ring", "teal", "spotted", "rose"),
    "tall": partial(stacked, "purple-stripes", "teal-spots", "red-checks"),
    "faint": faint,
    "wide": partial(side_by_side, "teal-spots", "red-checks", "purple-stripes"),
    "pair": partial(side_by_side, "purple-stripes", "teal-spots"),
    "cut-out": cut_out,
    "left-half": partial(half, left=True),
    "right-half": partial(half, left=False),
}
"""Name -> what draws it."""


def named(said: str) -> Image.Image:
    """The picture that stands in a payload as ``<name.png in base64>``."""
    return PICTURES[said[1:].partition(".png")[0]]()
