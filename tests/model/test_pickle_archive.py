"""A zip of weights is let near torch only where torch finds in it what was looked at."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.pickle_archive import END
from lib_ipadapter.model.weights_file import read_any, read_any_shapes

LOOKS = [read_any_shapes, read_any]

PLAIN = {"a/data.pkl": pickle.dumps({}, protocol=2), "a/version": b"3\n", "a/byteorder.txt": b"little" * 30}


def parts(members: Mapping[str, bytes]) -> tuple[bytes, bytes, bytes]:
    """Of a zip: what it holds, its directory, its end."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        begin = archive.start_dir
    data = buffer.getvalue()
    return data[:begin], data[begin : -END.size], data[-END.size :]


def seen_by_torch(path: Path) -> list[str]:
    return torch._C.PyTorchFileReader(str(path)).get_all_records()


def seen_by_python(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return archive.namelist()


def two_directories(path: Path) -> Path:
    """What Python's reader counts back to is plain; where the end points is a program."""
    content, directory, end = parts(PLAIN)
    program = directory.replace(b"byteorder.txt", b"constants.pkl").ljust(len(content), b"\0")
    end = end[:16] + struct.pack("<L", 2 * len(content)) + end[20:]
    path.write_bytes(content * 2 + program + directory + end)
    assert "constants.pkl" in seen_by_torch(path)
    assert seen_by_python(path) == list(PLAIN)
    return path


def two_large_ends(path: Path) -> Path:
    """The same with ends for over 4 GB: Python takes the one before the locator, torch the one that this names."""
    torch.save({"x": torch.ones(1)}, path)
    data = bytearray(path.read_bytes())
    begin, directory = len(data) - 98, zipfile.ZipFile(path).start_dir
    second = bytes(data[begin:-42])
    program = bytes(data[directory:begin]).replace(b"/byteorder", b"/constants")
    shifted = begin + len(program)
    data[begin:] = program + second[:48] + struct.pack("<Q", begin) + second + bytes(data[-42:])
    struct.pack_into("<Q", data, len(data) - 42 + 8, shifted)
    path.write_bytes(data)
    assert "constants" in seen_by_torch(path)
    return path


def hidden_end(path: Path) -> Path:
    """A comment that looks like an end which is cut short: to Python no zip at all."""
    content, directory, end = parts({**PLAIN, "a/constants.pkl": b""})
    path.write_bytes(content + directory + end[:-2] + b"\x07\x00" + b"PK\x05\x06end")
    assert "constants.pkl" in seen_by_torch(path)
    assert not zipfile.is_zipfile(path)
    return path


def comment(path: Path) -> Path:
    content, directory, end = parts(PLAIN)
    path.write_bytes(content + directory + end[:-2] + b"\x07\x00" + b"comment")
    return path


MADE = {
    "two directories": (two_directories, "is not where its end says"),
    "two large ends": (two_large_ends, "is not where its end says|cannot be read"),
    "an end that Python does not see": (hidden_end, "cannot be read"),
    "a comment": (comment, "is not where its end says"),
}


@pytest.mark.parametrize(("make", "said"), MADE.values(), ids=MADE)
@pytest.mark.parametrize("look", LOOKS)
def test_a_zip_of_which_two_readers_find_two_is_refused_in_lists_and_on_use(
    make: Callable[[Path], Path], said: str, look: Callable[[Path], object], tmp_path: Path
) -> None:
    path = make(tmp_path / "two.bin")
    assert path.stat().st_size < 1 << 12
    with pytest.raises(CheckpointError, match=rf"two\.bin .*({said})"):
        look(path)


PROGRAMS = ["a/constants.pkl", "a/CONSTANTS.pkl", "a_constants.pkl", "a/constants.pklx", "a/CODE/__torch__.py"]
"""All of these torch takes for parts of a program, or cuts to one."""


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("look", LOOKS)
def test_a_program_under_any_name_that_torch_would_take_is_refused(
    name: str, look: Callable[[Path], object], tmp_path: Path
) -> None:
    (tmp_path / "program.bin").write_bytes(b"".join(parts({**PLAIN, name: b""})))
    with pytest.raises(CheckpointError, match=r"program\.bin is a TorchScript program"):
        look(tmp_path / "program.bin")


SOUND = {
    "weights": {"a": torch.ones(3), "b": torch.ones(2, 2).half()},
    "no values": {"a": torch.ones(0)},
    "nothing": {},
}


@pytest.mark.parametrize("content", SOUND.values(), ids=SOUND)
def test_what_torch_writes_is_sound(content: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save(content, tmp_path / "sound.bin")
    assert read_any(tmp_path / "sound.bin").keys() == content.keys()
    assert read_any_shapes(tmp_path / "sound.bin") == {key: tuple(t.shape) for key, t in content.items()}


def test_what_pythons_zipfile_writes_is_sound(tmp_path: Path) -> None:
    (tmp_path / "sound.bin").write_bytes(b"".join(parts(PLAIN)))
    assert read_any(tmp_path / "sound.bin") == {}
