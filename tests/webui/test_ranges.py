"""The page's scripts take what the server takes."""

from __future__ import annotations

import re
from pathlib import Path

from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.notation import LIMIT

SCRIPTS = Path(__file__).parents[2] / "javascript"


def numbers(script: str, pattern: str) -> list[float]:
    found = re.search(pattern, (SCRIPTS / script).read_text(encoding="utf-8"))
    assert found, f"{script} has no {pattern}"
    return [float(number) for number in found.groups()]


def test_editors_take_the_weights_of_curves_and_grids() -> None:
    assert numbers("ip_adapter.js", r"\blimit: ([-\d.]+),") == [LIMIT]


def test_thumbnails_take_the_weights_of_further_pictures() -> None:
    weights = next(field for field in FIELDS if field.name == "weights")
    limits = numbers("ip_adapter_further.js", r"LIMITS = \{min: ([-\d.]+), max: ([-\d.]+)")
    assert limits == [weights.minimum, weights.maximum]
