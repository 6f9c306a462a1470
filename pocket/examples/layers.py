"""In which layers, and at which steps."""

from __future__ import annotations

from lib_ipadapter.maths.weight_types import WeightType
from pocket.examples.example import Cell, Example, picture, unit

LAYERS = (
    Example(
        "weight-type",
        "Weight types",
        "Named tables of how much each layer counts. On the published networks the style sits in a few layers and the"
        " composition in others; in this small one every layer has roles of its own, see [layers](layers.md).",
        tuple(Cell(kind.value, (unit("purple-stripes", scale=1.0, weight_type=kind.value),)) for kind in WeightType),
        shown=list(WeightType).index(WeightType.STYLE),
        prompt="a star",
    ),
    Example(
        "two-pictures",
        "Style and composition from two pictures",
        "The layers of the composition see a picture of their own. In this small model they carry next to nothing, so"
        " hardly anything changes; on the published networks they decide what is where.",
        (
            Cell("one picture", (unit("purple-stripes", scale=1.0, weight_type="style and composition"),)),
            Cell(
                "two pictures",
                (
                    unit(
                        "purple-stripes",
                        scale=1.0,
                        weight_type="style and composition",
                        composition_image=picture("teal-spots"),
                        composition_scale=1.2,
                    ),
                ),
            ),
        ),
    ),
    Example(
        "curve",
        "A curve over the steps",
        "Points with lines between, or as in a prompt: `[0:1:0.5]` begins at half of the steps.",
        (
            Cell("1 throughout", (unit("red-checks", scale=1.0),)),
            Cell("0:1, 0.5:0", (unit("red-checks", scale=1.0, curve="0:1, 0.5:0"),)),
            Cell("[0:1:0.5]", (unit("red-checks", scale=1.0, curve="[0:1:0.5]"),)),
        ),
        prompt="a small cross on the left",
    ),
    Example(
        "layers",
        "Layers by hand",
        "A factor for each layer by its number; what is not listed is off, and less than 0 leads away.",
        (
            Cell("all", (unit("purple-stripes", scale=1.0),)),
            Cell("9 to 13", (unit("purple-stripes", scale=1.0, layers={str(layer): 1 for layer in range(9, 14)}),)),
            Cell("9 to 13, -0.5", (unit("purple-stripes", scale=1.0, layers={str(n): -0.5 for n in range(9, 14)}),)),
        ),
        shown=1,
        prompt="a star",
    ),
    Example(
        "grid",
        "Layers and steps at once",
        "Rows are parts of the layers, columns parts of the steps; the page has an editor to draw it.",
        (
            Cell("all", (unit("teal-spots", scale=1.0),)),
            Cell("late, last layers", (unit("teal-spots", scale=1.0, grid=[[0, 0], [0, 1]]),)),
            Cell("early, last layers", (unit("teal-spots", scale=1.0, grid=[[0, 0], [1, 0]]),)),
        ),
        prompt="a cross",
    ),
    Example(
        "scaling",
        "What the scale is applied to",
        "Scaled keys soften the attention over the picture's tokens; the penalty multiplies by a layer's"
        " width / 1280, which leaves little of the narrow layers of this small model.",
        tuple(
            Cell(mode, (unit("purple-stripes", scale=0.8, embeds_scaling=mode),))
            for mode in ("V only", "K+V", "V only w/ C penalty", "K+V w/ C penalty", "K+mean(V) w/ C penalty")
        ),
        prompt="a star",
    ),
)
