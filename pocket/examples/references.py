"""Several pictures in one unit."""

from __future__ import annotations

from pocket.examples.example import Cell, Example, picture, unit

BOTH = {"images": [picture("teal-spots")], "scale": 0.8}

IN_TURN = [picture("purple-stripes"), picture("red-checks")]

REFERENCES = (
    Example(
        "several",
        "Several pictures as one prompt",
        "Side by side (`concat`) each keeps its own tokens and the sampler chooses between them; an `average` is one"
        " picture between them; in a `norm average` a feature counts the same whether one picture has it or all;"
        " `max` and `min` take the larger or the smaller of each number; `subtract` takes away from the first what the"
        " second has. `weights` says how much each counts.",
        (
            Cell("the first alone", (unit("purple-stripes", scale=0.8),)),
            Cell("concat", (unit("purple-stripes", **BOTH),)),
            Cell("average", (unit("purple-stripes", combine="average", **BOTH),)),
            Cell("average, 1 to 3", (unit("purple-stripes", combine="average", weights=[1, 3], **BOTH),)),
            *(
                Cell(way, (unit("purple-stripes", combine=way, **BOTH),))
                for way in ("norm average", "add", "subtract", "max", "min")
            ),
        ),
        shown=3,
        prompt="a triangle",
    ),
    Example(
        "batch",
        "Each picture for its own picture of the batch",
        "With `batch` the first picture of a batch gets the first reference, the second the second, and so on from the"
        " start again; counting goes on over the batches of a job. `batch_start` begins with another one; the"
        " parameters of each picture say with which, so that it can be made again by itself. These are the two"
        " pictures of one job.",
        tuple(
            Cell(f"picture {number + 1}", (unit(images=IN_TURN, combine="batch", batch_start=number),))
            for number in range(2)
        ),
        shown=0,
        prompt="a cross",
        job={"batch_size": 2},
    ),
)
