"""``python -m pocket.report``: what `pocket.evaluate` measured, as the README's table and the documentation's plots."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pocket import plots
from pocket.evaluate import SAID

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- measured, by python -m pocket.report -->", "<!-- until here -->"


def best_scale(scales: Mapping[str, Mapping[str, float]]) -> str:
    """Where text and picture are both followed most often; the lowest of equals."""
    return max(scales, key=lambda scale: scales[scale]["together"])


def rows(numbers: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """What is asked for -> shares."""
    found = {"text alone, naming all three": numbers["text alone"], "nothing (chance)": numbers["no picture"]}
    for kind, shares in numbers["image alone"].items():
        found[f"picture alone, {kind}, scale 1"] = shares
    for kind, scales in numbers["text and image"].items():
        scale = best_scale(scales)
        found[f"shape by the text, look by the picture, {kind}, scale {scale}"] = scales[scale]
    for when, shares in numbers["when"].items():
        found[f"the same, plus, scale 1, {when}"] = shares
    return found


def table(numbers: Mapping[str, Any]) -> str:
    """As Markdown."""
    lines = [f"| given | {' | '.join(SAID)} | all three |", f"|---|{'---:|' * (len(SAID) + 1)}"]
    for name, shares in rows(numbers).items():
        lines.append(f"| {name} | {' | '.join(f'{shares[part]:.1%}' for part in (*SAID, 'together'))} |")
    return "\n".join(lines)


def written(readme: str, numbers: Mapping[str, Any]) -> str:
    """The README with the table in its place."""
    return re.sub(f"(?<={BEGIN}\n).*?(?=\n{END})", lambda _: table(numbers), readme, count=1, flags=re.DOTALL)


def main() -> None:
    """Writes the table and the plots."""
    numbers = json.loads(plots.RESULTS.read_text(encoding="utf-8"))
    README.write_text(written(README.read_text(encoding="utf-8"), numbers), encoding="utf-8")
    plots.write(json.loads(plots.CURVES.read_text(encoding="utf-8")), numbers)


if __name__ == "__main__":
    main()
