"""What a part was begun with, noted beside its states: what is of another plan is not gone on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.writing import whole


def begin(path: Path, made_of: Mapping[str, Any]) -> None:
    """Notes it at `path`. Raises `TrainingError` where the part was begun with something else."""
    wanted = json.loads(json.dumps(made_of))
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as trial:
            trial.write_text(json.dumps(wanted, indent=1) + "\n", encoding="utf-8")
        return
    found = json.loads(path.read_text(encoding="utf-8"))
    if others := sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name)):
        raise TrainingError(
            f"What {path} tells of was begun with another {', another '.join(others)}. Remove {path.parent}, and"
            " everything in it is made anew; or go back to the code and the weights that it was begun with."
        )
