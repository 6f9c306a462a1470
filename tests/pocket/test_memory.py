"""What was drawn is not drawn again, unless what draws it has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pocket import draw, evaluate, judge, measuring, sweep
from pocket import memory as module
from pocket.memory import Memory

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8))


def test_a_picture_is_kept_to_the_last_bit(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "new")
    key = memory.key("question", [])
    assert not memory.known(key)
    memory.keep(key, NOISE)
    assert memory.known(key)
    assert Memory(memory.folder).picture(key).tobytes() == NOISE.tobytes()


def test_what_was_stopped_in_the_middle_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def half(_: Image.Image, file: Path, _kind: str) -> None:
        file.write_bytes(b"the beginning")
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", half)
    memory = Memory(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        memory.keep("key", NOISE)
    assert not memory.known("key")


def test_other_weights_are_another_question(tmp_path: Path) -> None:
    weights, memory = tmp_path / "weights", Memory(tmp_path)
    weights.write_bytes(b"one")
    first = memory.key("question", [weights])
    assert first == memory.key("question", [weights])
    weights.write_bytes(b"two")
    module._content.cache_clear()
    assert first != memory.key("question", [weights])
    assert memory.key("question", []) != memory.key("other", [])


def test_a_change_of_the_judge_draws_nothing_anew() -> None:
    assert not {Path(part.__file__ or "") for part in (judge, evaluate, sweep)} & {*measuring.CODE}
    assert Path(draw.__file__) in measuring.CODE


def perform(lot: Sequence[int]) -> list[Image.Image]:
    return [Image.new("L", (1, 1), number) for number in lot]


def test_only_what_is_new_is_drawn_and_all_come_back_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measuring, "MEMORY", tmp_path)
    Memory(tmp_path).keep("3", Image.new("L", (1, 1), 99))  # as no one would draw it
    found = measuring.draw_all(
        range(6), perform, key=lambda _, task: str(task), alike=lambda task: task % 2, processes=1
    )
    assert [(task, picture.getpixel((0, 0))) for task, picture in found] == [
        (0, 0), (1, 1), (2, 2), (3, 99), (4, 4), (5, 5)
    ]  # fmt: skip
