"""Regions of the picture."""

from __future__ import annotations

from pocket.examples.example import Cell, Example, picture, unit

LEFT = unit("purple-stripes", mask=picture("left-half"), scale=0.75)
RIGHT = unit("teal-spots", mask=picture("right-half"), scale=0.75)

WHERE = (
    Example(
        "mask",
        "Two pictures, each in its half",
        "A unit acts where its mask is white, or opaque. The mask lies over the whole picture that is made, and follows"
        ' "only masked" crops and hires fix; the reference is never cropped by it.',
        (
            Cell("no unit"),
            Cell("left", (LEFT,)),
            Cell("right", (RIGHT,)),
            Cell("both", (LEFT, RIGHT)),
            Cell("left, outside", ({**LEFT, "region": "outside the mask"},)),
        ),
        shown=3,
        prompt="a small circle on the left and a small star on the right",
    ),
)
