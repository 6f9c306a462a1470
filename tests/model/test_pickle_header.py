"""The quick reader of PyTorch files' shapes: as torch reads them, or not at all."""

import pickle
import struct
import time
import tracemalloc
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lib_ipadapter.model import pickle_header
from tests.recorded import SHAPES, recorded


def quick(path: Path) -> dict[str, tuple[int, ...]] | None:
    with zipfile.ZipFile(path) as archive:
        return pickle_header.read_shapes(archive)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def narrow(name: str) -> dict[str, Tensor]:
    """A recorded file with tensors of at most three by three."""
    return {key: torch.zeros([min(length, 3) for length in shape]) for key, shape in recorded(name).items()}


@pytest.mark.parametrize("name", sorted(path.stem for path in SHAPES.glob("*.json")))
def test_every_recorded_file_is_read_quickly(name: str, tmp_path: Path):
    tensors = narrow(name)
    assert quick(saved(tmp_path / "a.bin", tensors)) == {key: tuple(t.shape) for key, t in tensors.items()}


BASE = torch.arange(24.0).reshape(4, 6)
READ = {
    "nested": {"image_proj": {"a": BASE}, "ip_adapter": {"1.to_k_ip.weight": BASE.half()}},
    "ordered": OrderedDict(a=BASE, b=OrderedDict(c=BASE.bfloat16())),
    "one memory": {"a": BASE, "b": BASE, "c": BASE[1:, ::2], "d": BASE.T},
    "beside other things": {"step": 7, "rate": 1e-4, "on": True, "nothing": None, "names": ["x", ("y", 3)], "a": BASE},
    "no values": {"a": torch.zeros(0, 3), "b": torch.zeros(())},
    "every number": {str(kind): torch.zeros(2, dtype=kind) for kind in (torch.int8, torch.bool, torch.int64)},
    "unicode": {"Gewichte 🧩": BASE},
    "one in two places": {"a": (once := {"w": BASE}), "b": once},
    "a parameter": {"a": torch.nn.Parameter(BASE)},
    "a module's": {"image_proj": torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4)).state_dict()},
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_what_torch_writes_is_read_as_torch_reads_it(content: Any, tmp_path: Path):
    path = saved(tmp_path / "a.bin", content)
    loaded = torch.load(path, weights_only=True)
    assert quick(path) == {key: tuple(t.shape) for key, t in pickle_header.flat(loaded, Tensor).items()}


LEFT = {
    "eight bits": {"a": BASE.to(torch.float8_e4m3fn)},
    "a sparse tensor": {"a": BASE.to_sparse()},
    "a set": {"a": BASE, "b": {1, 2}},
    "a large number": {"a": BASE, "seed": 1 << 80},
}


@pytest.mark.parametrize("content", LEFT.values(), ids=LEFT)
def test_what_is_less_plain_is_left_to_torch(content: Any, tmp_path: Path):
    assert quick(saved(tmp_path / "a.bin", content)) is None


def written(path: Path, header: bytes, memory: bytes = b"") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", header)
        archive.writestr("archive/data/0", memory)
    return path


def tensor(
    offset: bytes = b"K\0", shape: bytes = b"(K\x02K\x02t", steps: bytes = b"(K\x02K\x01t", values: bytes = b"K\x04"
) -> bytes:
    """A dictionary of one tensor as torch pickles it."""
    storage = b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\0" + b"0X\x03\0\0\0cpu" + values + b"tQ"
    arguments = offset + shape + steps + b"\x89ccollections\nOrderedDict\n)Rt"
    return b"\x80\x02}X\x01\0\0\0actorch._utils\n_rebuild_tensor_v2\n" + storage + arguments + b"Rs."


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def many(*values: int) -> bytes:
    return b"(" + b"".join(map(integer, values)) + b"t"


def test_the_sound_one_that_the_damaged_ones_are_made_from_is_read(tmp_path: Path):
    assert quick(written(tmp_path / "a.bin", tensor(), bytes(16))) == {"a": (2, 2)}


BEYOND = struct.pack("<I", pickle_header.LARGEST) + b"x" * pickle_header.LARGEST
HUGE = b"J\xff\xff\xff\x7f"

DAMAGED = {
    "memory is short": (tensor(), bytes(15)),
    "more values than memory": (tensor(shape=many(3, 2)), bytes(16)),
    "steps of zero": (tensor(shape=many(1 << 30, 1 << 10), steps=many(0, 0)), bytes(16)),
    "begins too late": (tensor(offset=integer(1)), bytes(16)),
    "begins too early": (tensor(offset=integer(-1)), bytes(16)),
    "a length below zero": (tensor(shape=many(-2, -2)), bytes(16)),
    "goes backwards": (tensor(steps=many(-2, 1)), bytes(16)),
    "steps out of it": (tensor(steps=many(4, 1)), bytes(16)),
    "of another length": (tensor(steps=many(2, 1, 1)), bytes(16)),
    "a fraction": (tensor(shape=b"(G" + struct.pack(">d", 2.0) + b"K\x02t"), bytes(16)),
    "no number": (tensor(shape=b"(G" + struct.pack(">d", float("nan")) + b"K\x02t"), bytes(16)),
    "a truth for a length": (tensor(shape=b"(\x88K\x02t"), bytes(16)),
    "no number of values": (tensor(values=b"G" + struct.pack(">d", float("nan"))), bytes(16)),
    "a text for a shape": (tensor(shape=b"X\x02\0\0\0ab"), bytes(16)),
    "cut short": (tensor()[:-9], bytes(16)),
    "cut short in a text": (tensor()[:-9] + b"X\x09\0\0\0.", bytes(16)),
    "goes on": (tensor() + b".", bytes(16)),
    "nothing at all": (b"\x80\x02.", b""),
    "too long": (tensor()[:-1] + b"X\1\0\0\0pX" + BEYOND + b"s.", bytes(16)),
}


@pytest.mark.parametrize(("header", "memory"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_header_is_left_to_torch(header: bytes, memory: bytes, tmp_path: Path):
    assert quick(written(tmp_path / "a.bin", header, memory)) is None


def test_of_two_members_of_one_name_none_is_taken(tmp_path: Path):
    path = written(tmp_path / "a.bin", tensor(), bytes(16))
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("archive/data.pkl", tensor().replace(b"\0a", b"\0b"))
    assert quick(path) is None


SHARED = b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(60))
"""A tuple of twice the tuple of twice the tuple ..."""
LONG = struct.pack("<I", 1 << 20) + b"k" * (1 << 20)

HOSTILE = {
    "code": pickle.dumps({"a": print}, protocol=2),
    "code, called": b"\x80\x02cos\nsystem\nX\x04\0\0\0true\x85R.",
    "a class that is changed": b"\x80\x02ccollections\nOrderedDict\n}X\x01\0\0\0aK\x01sb.",
    "a text of gigabytes": b"\x80\x02X\xff\xff\xff\x7fa.",
    "another file's words": b"\x80\x02(X\x01\0\0\0aKtQ.",
    "the reader's own": b"\x80\x02clib_ipadapter.model.pickle_stand_ins\nHeader\nK\x01\x85R.",
    "a shape to be repeated": tensor(shape=b"((Nt" + HUGE + b"t"),
    "a shape of a million lengths": tensor(shape=b"(" + HUGE * (1 << 20) + b"t"),
    "a key without end": b"\x80\x02}" + SHARED + b"Ns.",
    "a key too deep": b"\x80\x02})" + b"\x85" * (1 << 20) + b"Ns.",
    "a memory's name without end": tensor().replace(b"X\x01\0\0\x000", SHARED),
    "long keys around many": b"\x80\x02}X" + LONG + b"}(" + b"".join(b"K%cN" % n for n in range(256)) + b"us.",
}


@pytest.mark.parametrize("header", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_header_is_not_carried_out(header: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    path = written(tmp_path / "a.bin", header, bytes(16))
    tracemalloc.start()
    begun = time.process_time()
    found, spent = quick(path), time.process_time() - begun
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found is None
    assert (spent < 20, most < 150 << 20) == (True, True), (spent, most)
    assert not any(capfd.readouterr())


NOTHING = b"N"
ONE = tensor()[len(b"\x80\x02}X\x01\0\0\0a") : -2] + b"q\0"
"""A tensor, remembered; `AGAIN` is it."""
AGAIN = b"h\0"


def under_a_long_name(first: bytes, others: bytes, count: int = 40_000) -> bytes:
    """A name of four thousand letters, and below it so many values with short ones."""
    name = b"X" + struct.pack("<I", 4000) + b"k" * 4000
    values = [first, *[others] * (count - 1)]
    items = b"".join(b"M" + struct.pack("<H", number) + value for number, value in enumerate(values))
    return b"\x80\x02}" + name + b"}(" + items + b"us."


@pytest.mark.parametrize(("first", "others", "read"), [(NOTHING, NOTHING, {}), (ONE, AGAIN, None)])
def test_a_small_header_of_very_many_long_keys_stays_cheap(first: bytes, others: bytes, read: Any, tmp_path: Path):
    path = written(tmp_path / "a.bin", under_a_long_name(first, others), bytes(16))
    assert path.stat().st_size < 250_000
    tracemalloc.start()
    begun = time.process_time()
    assert quick(path) == read
    assert time.process_time() - begun < 5
    assert tracemalloc.get_traced_memory()[1] < 60 << 20
    tracemalloc.stop()


def test_many_keys_below_a_long_one_are_read(tmp_path: Path):
    found = quick(written(tmp_path / "a.bin", under_a_long_name(ONE, AGAIN, 1000), bytes(16)))
    assert found == {f"{'k' * 4000}.{number}": (2, 2) for number in range(1000)}


def test_a_place_far_out_takes_no_room(tmp_path: Path):
    tracemalloc.start()
    assert quick(written(tmp_path / "a.bin", b"\x80\x02}r\xff\xff\xff\x07.")) == {}
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_it_takes_less_than_half_of_torchs_time(tmp_path: Path):
    path = saved(tmp_path / "a.bin", narrow("ip-adapter-faceid_sd15"))

    def seconds(read) -> float:
        start = time.process_time()
        for _ in range(10):
            read()
        return time.process_time() - start

    by_torch = min(seconds(lambda: torch.load(path, weights_only=True, mmap=True)) for _ in range(3))
    assert min(seconds(lambda: quick(path)) for _ in range(3)) * 2 < by_torch
