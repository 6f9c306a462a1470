"""What was judged already: an evaluation goes on where it was stopped, and again after a change of one adapter only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from lib_ipadapter.model.checkpoint import sha256

Answer = dict[str, bool]


class Memory:
    """A file of lines, each a question's key and its answer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.known: dict[str, Answer] = {}
        """Key -> answer."""
        if path.is_file():
            lines = path.read_text(encoding="utf-8").splitlines()
            self.known = dict(json.loads(line) for line in lines if line.endswith("]"))

    def key(self, question: object, files: Iterable[Path]) -> str:
        """Of a question, by how it is written and by what is in the files that its answer depends on."""
        return hashlib.sha256(" ".join([repr(question), *map(_content, files)]).encode()).hexdigest()[:24]

    def follow(self, keys: Iterable[str], answers: Iterable[Answer]) -> Iterator[Answer]:
        """`answers` as they come, each kept at once."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as lines:
            for key, answer in zip(keys, answers, strict=True):
                self.known[key] = answer
                lines.write("\n" + json.dumps([key, answer]))  # what was cut off before stays a line of its own
                lines.flush()
                yield answer


@cache
def _content(path: Path) -> str:
    return sha256(path)
