"""What is written is whole or not there, nobody's private file, and leaves nothing beside it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import torch

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import weights_file
from lib_ipadapter.model.writing import whole


def write_whole(path: Path, data: bytes) -> None:
    with whole(path) as part:
        part.write_bytes(data)


def test_a_file_that_fails_half_way_leaves_the_old_one_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_whole(tmp_path / "a", b"old")
    write = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        write(path, data[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(CheckpointError, match="No space"):
        write_whole(tmp_path / "a", b"new one")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_two_that_write_at_once_do_not_mix(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 100_000 for letter in b"ab"]
    failures: list[CheckpointError] = []

    def write(data: bytes) -> None:
        try:
            for _ in range(50):
                write_whole(tmp_path / "sub" / "a", data)
        except CheckpointError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=[data]) for data in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    (only,) = (tmp_path / "sub").iterdir()
    assert only.read_bytes() in contents


def test_who_may_read_a_new_file_may_read_this_one(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_whoever_may_read_a_new_file_may_read_a_written_one(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    weights_file.write(tmp_path / "written.safetensors", {"a": torch.zeros(2)})
    assert (tmp_path / "written.safetensors").stat().st_mode == (tmp_path / "new").stat().st_mode
