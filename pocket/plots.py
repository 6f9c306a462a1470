"""The curves of the training and of the scale, as pictures for the documentation."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from lib_ipadapter.model.variant import Kind
from pocket import ship
from pocket.adapters import ROUNDS

DOCS = Path(__file__).parents[1] / "docs"
CURVES = ship.WEIGHTS.parent / "curves.json"
RESULTS = ship.WEIGHTS.parent / "results.json"
INK, COLOURS = "#1f2328", ("#2a7f8e", "#e4572e", "#6a4c93", "#8a8578")

STAGES = (
    ("vae", "vae.jsonl", "pixel", "autoencoder: mean absolute error, range 2"),
    ("vision", "vision.jsonl", "right", "vision tower: attributes that are read correctly"),
    ("diffusion", "diffusion-half.jsonl", "noise", "UNet and text, 64 x 64: noise loss"),
    ("diffusion", "diffusion.jsonl", "noise", "UNet and text, 128 x 128: noise loss"),
)
"""Part, file of a stage's curve, what is drawn of it, and its heading."""
GAP = "reference/gap"
"""Of an adapter's curves: what a shuffled reference costs more than the right one."""


def collect(work: Path, parts: Collection[str]) -> dict[str, Any]:
    """Every stage's curve, thinned to what a picture can show: of `parts`, that have run, from their logs in `work`."""
    logs = {name: (work / name, value) for part, name, value, _ in STAGES if part in parts}
    logs |= {name: (work / name / "metrics.jsonl", GAP) for name in ROUNDS if name in parts}
    new = {name: _thin(_read(path, value), "step", value) for name, (path, value) in logs.items()}
    known = json.loads(CURVES.read_text(encoding="utf-8")) if CURVES.is_file() else {}
    every = known | new
    return {name: every[name] for name in (*(name for _, name, _, _ in STAGES), *ROUNDS) if name in every}


def _read(path: Path, value: str) -> list[dict[str, float]]:
    """The rows that hold `value`."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if value in row]


def _thin(rows: Sequence[dict[str, float]], across: str, up: str, points: int = 80) -> list[list[float]]:
    kept = rows[:: max(1, len(rows) // points)]
    return [[row[across] for row in kept], [round(row[up], 5) for row in kept]]


def training(curves: dict[str, Any]) -> Figure:
    """One panel per stage, one for the adapters."""
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    panels: Any = figure.subplots(2, 3)
    for panel, (_, name, value, heading) in zip(panels.flat, STAGES, strict=False):
        _line(panel, curves[name], heading, share=value == "right")
    for panel, kind in zip(panels.flat[4:], (Kind.BASE, Kind.PLUS), strict=True):
        rounds = [name for name, one in ROUNDS.items() if one.kind is kind]
        for colour, name in zip(COLOURS, rounds, strict=False):
            panel.plot(*curves[name], color=colour, marker=".", label=name)
        panel.set_title(f"{kind.value} adapter: loss, shuffled less right reference", loc="left", fontsize=11)
        panel.legend(frameon=False)
    for panel in panels.flat:
        panel.set_xlabel("step")
        panel.spines[["top", "right"]].set_visible(False)
    return figure


def _line(panel: Any, curve: list[list[float]], heading: str, *, share: bool) -> None:
    panel.plot(*curve, color=COLOURS[0])
    panel.set_title(heading, loc="left", fontsize=11)
    if share:
        panel.yaxis.set_major_formatter(PercentFormatter(1))
    elif np.max(curve[1]) > 4 * np.min(curve[1]) > 0:
        panel.set_yscale("log")
        panel.yaxis.set_major_formatter("{x:g}")
        panel.yaxis.set_minor_formatter(_few)


def _few(value: float, _: int) -> str:
    """Of a logarithmic axis only 2 and 5 are named between the tens."""
    return f"{value:g}" if f"{value:e}"[0] in "25" else ""


def scale(results: dict[str, Any]) -> Figure:
    """How far text and picture are followed, over the scale."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    panels: Any = figure.subplots(1, 2, sharey=True)
    for panel, (kind, found) in zip(panels, results["text and image"].items(), strict=True):
        across = [float(value) for value in found]
        for colour, name in zip(COLOURS, ("shape", "colour", "texture", "together"), strict=True):
            label = {"shape": "the text's shape", "together": "all three"}.get(name, f"the picture's {name}")
            width = 3 if name == "together" else 1.6
            panel.plot(
                across, [found[key][name] * 100 for key in found], color=colour, label=label, lw=width, marker="o"
            )
        panel.set_title(f"{kind} adapter", loc="left")
        panel.set_xlabel("scale")
        panel.set_ylim(0, 102)
        panel.grid(axis="y", color="#e6e2d8")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("% of pictures")
    panels[0].legend(frameon=False)
    return figure


def write_curves(work: Path, parts: Collection[str]) -> None:
    """Keeps the curves beside the weights."""
    CURVES.write_text(json.dumps(collect(work, parts)) + "\n", encoding="utf-8")


def write(curves: dict[str, Any], results: dict[str, Any]) -> None:
    """Writes both pictures."""
    mpl.rcParams.update({"font.size": 10, "axes.edgecolor": INK})
    training(curves).savefig(DOCS / "pocket-training.png", dpi=110)
    scale(results).savefig(DOCS / "scale-curve.png", dpi=110)
