"""What was judged is not judged again, unless the weights have changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pocket import memory as module
from pocket.memory import Memory


def test_an_evaluation_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def answers() -> Iterator[dict[str, bool]]:
        yield {"shape": True}
        raise KeyboardInterrupt

    memory = Memory(tmp_path / "new" / "judged.jsonl")
    keys = [memory.key(question, []) for question in ("first", "second")]
    with pytest.raises(KeyboardInterrupt):
        list(memory.follow(keys, answers()))
    again = Memory(memory.path)
    assert [again.known.get(key) for key in keys] == [{"shape": True}, None]


def test_a_line_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "judged.jsonl"
    path.write_text('["a", {"shape": true}]\n["b", {"sha', encoding="utf-8")
    memory = Memory(path)
    assert (memory.known.get("a"), memory.known.get("b")) == ({"shape": True}, None)
    list(memory.follow(["c"], [{"shape": False}]))
    assert (Memory(path).known.get("a"), Memory(path).known.get("c")) == ({"shape": True}, {"shape": False})


def test_other_weights_are_another_question(tmp_path: Path) -> None:
    weights, memory = tmp_path / "weights", Memory(tmp_path / "judged.jsonl")
    weights.write_bytes(b"one")
    first = memory.key("question", [weights])
    assert first == memory.key("question", [weights])
    weights.write_bytes(b"two")
    module._content.cache_clear()
    assert first != memory.key("question", [weights])
    assert memory.key("question", []) != memory.key("other", [])
