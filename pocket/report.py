"""``python -m pocket.report``: what `pocket.evaluate` measured, as the README's table and the documentation's plots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pocket import halves, plots
from pocket.marked import Marked
from pocket.scenes import SAID

README = Path(__file__).parents[1] / "README.md"
PLACE = Marked("<!-- measured, by python -m pocket.report -->")


def best_scale(scales: Mapping[str, Mapping[str, float]]) -> str:
    """Where text and picture are both followed most often; the lowest of equals."""
    return max(scales, key=lambda scale: scales[scale]["together"])


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    given: str
    shares: Mapping[str, float]
    goal: str = ""


def rows(numbers: Mapping[str, Any]) -> list[Row]:
    """What is asked for, and how often it came."""
    found = [
        Row("nothing", numbers["no picture"]),
        Row("a text that names all three", numbers["text alone"], "all three 95%"),
    ]
    goals = {"base": "each 85%", "plus": "each 95%"}
    found += [
        Row(f"a picture, {kind} adapter, scale 1", shares, goals[kind])
        for kind, shares in numbers["image alone"].items()
    ]
    for kind, scales in numbers["text and image"].items():
        best = best_scale(scales)
        given = f"shape by a text, look by a picture, {kind}, scale {best}"
        found.append(Row(given, scales[best], "all three 85%"))
    parts = {**numbers["when"], **numbers.get("layers", {})}
    whole = {"all steps, all layers": numbers["text and image"]["plus"]["1"]}
    found += [Row(f"the same, plus, scale 1, {part}", shares) for part, shares in {**whole, **parts}.items()]
    return found + [row for right, shares in numbers.get("halves", {}).items() for row in half_rows(right, shares)]


def half_rows(right: str, shares: Mapping[str, Mapping[str, float]]) -> list[Row]:
    """Each half by itself, and both together, which is what was asked for."""
    given = f"the left half by a picture, the right by {right}, {halves.KIND.value}, scale {halves.SCALE}"
    both = {"together": shares["both"]["look"]}
    return [
        *(Row(f"{given}: {half}", shares[half]) for half in halves.HALVES),
        Row(f"{given}: colour and texture of both", both, "both correct 80%"),
    ]


def table(numbers: Mapping[str, Any]) -> str:
    """As Markdown, with what it was measured over."""
    lines = [f"| given | {' | '.join(SAID)} | together | goal |", f"|---|{'---:|' * (len(SAID) + 1)}---|"]
    for row in rows(numbers):
        shares = " | ".join(f"{row.shares[part]:.1%}" if part in row.shares else "" for part in (*SAID, "together"))
        lines.append(f"| {row.given} | {shares} | {row.goal} |")
    judge, references = min(numbers["judge"].values()), numbers["references"]
    pairs = f", in halves over {max(1, references // 2)} pairs of them" if "halves" in numbers else ""
    right = "never wrong" if judge == 1 else f"right in at least {judge:.1%}"
    lines += ["", f"Over {references} references{pairs}; on drawn scenes the judge is {right}."]
    return "\n".join(lines)


def written(readme: str, numbers: Mapping[str, Any]) -> str:
    """The README with the table in its place."""
    return PLACE.filled(readme, table(numbers))


def main() -> None:
    """Writes the table and the plots."""
    numbers = json.loads(plots.RESULTS.read_text(encoding="utf-8"))
    README.write_text(written(README.read_text(encoding="utf-8"), numbers), encoding="utf-8")
    plots.write(json.loads(plots.CURVES.read_text(encoding="utf-8")), numbers)


if __name__ == "__main__":
    main()
