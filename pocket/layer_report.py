"""``python -m pocket.layer_report``: what `pocket.sweep` measured, as a plot and as the tables of docs/layers.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lib_ipadapter.maths.weight_types import WeightType
from pocket.marked import Marked
from pocket.plots import DOCS
from pocket.questions import READ
from pocket.sweep import SECOND, SWEEP

PAGE = DOCS / "layers.md"
PLACE = Marked("<!-- measured, by python -m pocket.layer_report -->")

Shares = Mapping[str, Mapping[str, float]]
"""Name of a row -> attribute -> share."""


def figure(numbers: Mapping[str, Any]) -> Figure:
    """Two maps, layers across and attributes down: each layer alone, and all but each."""
    drawn = Figure(figsize=(12, 5.4), layout="constrained")
    panels: Any = drawn.subplots(2, 1)
    whole = numbers["weight type"][WeightType.LINEAR.value]
    none = numbers["reference"]["no picture"]
    for panel, group, (name, end) in zip(
        panels, ("alone", "without"), (("no picture", none), ("all layers", whole)), strict=True
    ):
        columns = {name: end, **numbers[group]}
        values = np.array([[shares[part] * 100 for shares in columns.values()] for part in READ])
        panel.imshow(values, vmin=0, vmax=100, cmap="YlGnBu", aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            panel.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 55 else "black")
        panel.set_xticks(range(len(columns)), list(columns))
        panel.set_yticks(range(len(READ)), READ)
    panels[0].set_title("One layer alone: % of pictures that agree with the reference", loc="left")
    panels[1].set_title("All layers but one", loc="left")
    panels[1].set_xlabel(f"layer, in run order; {numbers['references']} references")
    return drawn


def table(first: str, rows: Shares, end: str = "") -> str:
    """As Markdown."""
    lines = [f"| {first} | {' | '.join(READ)} |", f"|---|{'---:|' * len(READ)}"]
    lines += [
        f"| {name} | {' | '.join(f'{shares[part + end]:.0%}' for part in READ)} |" for name, shares in rows.items()
    ]
    return "\n".join(lines)


def measured(numbers: Mapping[str, Any]) -> str:
    """Both tables, and what they were measured over."""
    none = {"no picture": numbers["reference"]["no picture"]}
    pair = numbers["two pictures"]
    return "\n\n".join(
        [
            f"Over {numbers['references']} references, {numbers['adapter']} adapter, scale {numbers['scale']:g},"
            f" {numbers['steps']} steps, no text. One picture of {numbers['references']} is"
            f" {1 / numbers['references']:.0%}.",
            table("weight type", none | numbers["weight type"]),
            "Two pictures, how often the result agrees with the first one and with the composition's:",
            table("agrees with the first", pair),
            table("agrees with the composition's", pair, f" {SECOND}"),
        ]
    )


def written(page: str, numbers: Mapping[str, Any]) -> str:
    """The page with the tables in their place."""
    return PLACE.filled(page, measured(numbers))


def main() -> None:
    """Writes the plot and the tables."""
    numbers = json.loads(SWEEP.read_text(encoding="utf-8"))
    figure(numbers).savefig(DOCS / "layer-sweep.png", dpi=110)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), numbers), encoding="utf-8")


if __name__ == "__main__":
    main()
