"""A picture, an adapter, how strongly and when."""

from __future__ import annotations

from pocket.examples.example import Cell, Example, unit

EVERYDAY = (
    Example(
        "scale",
        "A picture beside a text",
        "The text says the shape, the picture the look: the larger the scale, the more of the picture; 0.6 is the"
        " default.",
        (
            Cell("no picture"),
            *(Cell(f"scale {scale:g}", (unit("purple-stripes", scale=scale),)) for scale in (0.1, 0.2, 0.3, 0.6)),
        ),
        shown=3,
        prompt="a star",
    ),
    Example(
        "start-end",
        "When it acts",
        "In the early steps a picture also moves things to where its own are. From 0.4 on, they stay where the text has"
        " put them.",
        (
            Cell("all steps", (unit("red-checks", scale=1.0),)),
            Cell("until 0.4", (unit("red-checks", scale=1.0, end=0.4),)),
            Cell("from 0.4 on", (unit("red-checks", scale=1.0, start=0.4, end=1.0),)),
        ),
        prompt="a small cross on the left",
    ),
    Example(
        "units",
        "Several units",
        "Each unit is a picture of its own; what they add is summed, in whatever order they are given.",
        (
            Cell("first", (unit("purple-stripes", scale=0.7),)),
            Cell("second", (unit("teal-spots", scale=0.7),)),
            Cell("both", (unit("purple-stripes", scale=0.5), unit("teal-spots", scale=0.5))),
        ),
        prompt="a triangle",
    ),
    Example(
        "plot",
        "Many at once: the X/Y/Z plot",
        "The WebUI's script has an axis for each unit's model, scale, start, end, weight type, crop, sharpening and"
        " reference file. In a payload an axis goes by its number: its place, from 0, among the `choices` of the"
        " script's first argument in `GET /sdapi/v1/script-info`. Of an axis's three arguments the second takes"
        " numbers, the third words from a list. After the three axes come: draw legend, include sub images, include sub"
        " grids, keep -1 for seeds, vary seeds for X, Y and Z, margin, CSV mode.",
        tuple(
            Cell(f"{scale:g}, {kind}", (unit("purple-stripes", scale=scale, weight_type=kind),))
            for kind in ("linear", "ease in")
            for scale in (0.4, 0.8)
        ),
        shown=0,
        prompt="a triangle",
        job={
            "script_name": "x/y/z plot",
            "script_args": [
                *("<number of [IP-Adapter] Unit 1 Scale>", "0.4, 0.8", []),
                *("<number of [IP-Adapter] Unit 1 Weight type>", "", ["linear", "ease in"]),
                *(0, "", []),
                *(True, False, False, False, False, False, False, 0, False),
            ],
        },
    ),
    Example(
        "encoder",
        "Which encoder, and a unit at rest",
        "The image encoder that fits is found by itself; of several that fit, `encoder` names one. A unit that is not"
        " `enabled` rests, and its picture is not looked at.",
        (Cell("", (unit("purple-stripes", encoder="pocket"), unit("teal-spots", enabled=False))),),
        prompt="a triangle",
    ),
)
