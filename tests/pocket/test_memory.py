"""What was drawn is not drawn again, unless what draws it has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    assert not [*tmp_path.iterdir()]


def test_other_weights_are_another_question(tmp_path: Path) -> None:
    weights, memory = tmp_path / "weights", Memory(tmp_path)
    weights.write_bytes(b"one")
    first = memory.key("question", [weights])
    assert first == memory.key("question", [weights])
    weights.write_bytes(b"two")
    module._content.cache_clear()
    assert first != memory.key("question", [weights])
    assert memory.key("question", []) != memory.key("other", [])
