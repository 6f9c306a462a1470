"""How the image encoder is shown the picture."""

from __future__ import annotations

from pocket.examples.example import Cell, Example, picture, unit

SEEN = (
    Example(
        "crop",
        "What becomes of the edges",
        "The encoder sees a square. Of a wide picture `center` leaves the ends out, `squash` and `pad` keep all of it"
        " smaller, `tiles` looks at one square after another and puts their tokens side by side.",
        tuple(Cell(crop, (unit("wide", crop=crop, scale=0.8),)) for crop in ("center", "squash", "pad", "tiles")),
        prompt="a square",
    ),
    Example(
        "crop-tall",
        "A tall picture",
        "Of a tall picture `top` takes the upper square, where a portrait has its face.",
        tuple(Cell(crop, (unit("tall", crop=crop, scale=0.8),)) for crop in ("center", "top")),
        prompt="a square",
    ),
    Example(
        "image-mask",
        "Look only here",
        "A mask on the reference: what is black is hidden behind the background's colour before the encoder looks.",
        (
            Cell("all of it", (unit("pair", crop="squash"),)),
            Cell("the left half", (unit("pair", crop="squash", image_mask=picture("left-half")),)),
            Cell("the right half", (unit("pair", crop="squash", image_mask=picture("right-half")),)),
        ),
        prompt="a square",
        seed=3,
    ),
    Example(
        "background",
        "Behind what is transparent",
        "White, unless another colour is chosen; here it is seen in the picture that is made.",
        tuple(
            Cell(colour, (unit("cut-out", background=colour, scale=0.9),))
            for colour in ("#ffffff", "#c6f0d2", "#c4e2fc")
        ),
        prompt="a circle",
    ),
    Example(
        "sharpening",
        "What was lost in scaling",
        "The encoder's view of a large picture is small; sharpening brings out what has become faint in it. The pocket"
        " model's encoder sees enough without it, so that hardly anything changes here.",
        tuple(Cell(f"{amount:g}", (unit("faint", sharpening=amount, scale=0.9),)) for amount in (0.0, 0.5, 1.0)),
        prompt="a circle",
    ),
)
