"""Adapter files in every container that is in circulation, and everything that is none."""

from __future__ import annotations

import collections
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.checkpoint import read, read_shapes
from lib_ipadapter.model.weights_file import sha256

Write = Callable[[Mapping[str, Tensor], Path], None]

PARTS = {
    "image_proj.proj.weight": torch.arange(6.0).reshape(2, 3),
    "image_proj.norm.bias": torch.ones(2, dtype=torch.bfloat16),
    "ip_adapter.1.to_k_ip.weight": torch.full((2, 2), 0.5, dtype=torch.float16),
}


def nested(tensors: Mapping[str, Tensor], names: tuple[str, str] = ("image_proj", "ip_adapter")) -> dict[str, Any]:
    return {
        theirs: {k.removeprefix(f"{ours}."): t for k, t in tensors.items() if k.startswith(f"{ours}.")}
        for ours, theirs in zip(("image_proj", "ip_adapter"), names, strict=True)
    }


def renamed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    swap = {"image_proj": "image_proj_model", "ip_adapter": "adapter_modules"}
    return {f"{swap[k.split('.')[0]]}.{k.split('.', 1)[1]}": t for k, t in tensors.items()}


CONTAINERS: dict[str, Write] = {
    "safetensors": lambda t, path: save_file(dict(t), path),
    "safetensors, trainer's names": lambda t, path: save_file(renamed(t), path),
    "safetensors, both at once": lambda t, path: save_file(
        dict(t) | {k: torch.full_like(v, 9) for k, v in renamed(t).items()}, path
    ),
    "safetensors, with an encoder": lambda t, path: save_file(dict(t) | {"image_encoder.x": torch.ones(1)}, path),
    "bin": lambda t, path: torch.save(nested(t), path),
    "bin, trainer's names": lambda t, path: torch.save(nested(t, ("image_proj_model", "adapter_modules")), path),
    "bin, flat": lambda t, path: torch.save(dict(t), path),
    "bin, with an encoder": lambda t, path: torch.save({**nested(t), "image_encoder": {"x": torch.ones(1)}}, path),
    "bin, ordered dictionaries": lambda t, path: torch.save(collections.OrderedDict(nested(t)), path),
    "bin, old-style pickle": lambda t, path: torch.save(nested(t), path, _use_new_zipfile_serialization=False),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_content_decides_the_format_and_the_suffix_never(container: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"adapter{suffix}"
    CONTAINERS[container](PARTS, path)
    found = read(path)
    assert found.keys() == PARTS.keys()
    assert all(torch.equal(found[key], PARTS[key]) and found[key].dtype == PARTS[key].dtype for key in PARTS)
    assert read_shapes(path) == {key: tuple(tensor.shape) for key, tensor in PARTS.items()}


@pytest.mark.parametrize("container", ["bin", "bin, old-style pickle"])
def test_reading_does_without_torch_load_which_the_webui_replaces(
    container: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CONTAINERS[container](PARTS, tmp_path / "adapter.bin")
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("torch.load was called"))
    assert read(tmp_path / "adapter.bin").keys() == PARTS.keys()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.crater,))


@pytest.mark.parametrize("look", [read, read_shapes])
def test_a_torchscript_program_never_reaches_the_loader(
    look: Callable[[Path], object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch before 2.6 would run it."""
    with zipfile.ZipFile(tmp_path / "adapter.bin", "w") as archive:
        for member in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"adapter/{member}", b"")
    monkeypatch.setattr(torch.serialization, "load", lambda *_, **__: pytest.fail("loaded"))
    with pytest.raises(CheckpointError, match="TorchScript program"):
        look(tmp_path / "adapter.bin")


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("look", [read, read_shapes])
def test_code_in_a_pickle_is_refused_and_not_run(new: bool, look: Callable[[Path], object], tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    content = {**nested(PARTS), "more": Bomb(crater)}
    torch.save(content, tmp_path / "adapter.bin", _use_new_zipfile_serialization=new)
    with pytest.raises(CheckpointError, match=r"adapter\.bin holds code besides weights.* was not run"):
        look(tmp_path / "adapter.bin")
    assert not crater.exists()


def test_a_bare_pickle_of_code_is_not_run_either(tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    (tmp_path / "a.safetensors").write_bytes(pickle.dumps(Bomb(crater)))
    with pytest.raises(CheckpointError):
        read(tmp_path / "a.safetensors")
    assert not crater.exists()


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("picture.txt", "no weights")


def scripted(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("model/data.pkl", pickle.dumps({}))
        file.writestr("model/constants.pkl", pickle.dumps(()))


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (lambda p: p.write_bytes(b""), "an empty file"),
    "web page": (lambda p: p.write_text("\n<!DOCTYPE html><html>404</html>"), "a web page"),
    "LFS pointer": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "Git LFS"),
    "picture": (lambda p: p.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)), "neither a safetensors nor a PyTorch"),
    "few bytes": (lambda p: p.write_bytes(b"\x01\x02"), "neither a safetensors nor a PyTorch"),
    "header of terabytes": (lambda p: p.write_bytes(struct.pack("<Q", 5 << 40) + b'{"a":' + bytes(99)), "cut short"),
    "header of junk": (lambda p: p.write_bytes(struct.pack("<Q", 20) + b"{" + bytes(99)), "cannot be read"),
    "cut safetensors": (lambda p: p.write_bytes(save(PARTS)[:-9]), "cannot be read"),
    "zip of something": (zipped, "cannot be read|was not run"),
    "TorchScript": (scripted, "cannot be read|was not run"),
    "list": (lambda p: torch.save([torch.ones(1)], p), "is not an IP-Adapter: .* found nothing"),
    "tensor": (lambda p: torch.save(torch.ones(1), p), "is not an IP-Adapter"),
    "half an adapter": (lambda p: save_file({"image_proj.proj.weight": torch.ones(1)}, p), "is not an IP-Adapter"),
    "folder": (lambda p: p.mkdir(), "cannot be read"),
    "nothing": (lambda _: None, "There is no file"),
}


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize("look", [read, read_shapes])
@pytest.mark.filterwarnings("ignore:.*TorchScript archive")
def test_a_bad_file_is_one_sentence(what: str, look: Callable[[Path], object], tmp_path: Path) -> None:
    write, words = BAD[what]
    write(tmp_path / "adapter.safetensors")
    with pytest.raises(CheckpointError, match=words) as refusal:
        look(tmp_path / "adapter.safetensors")
    sentence = str(refusal.value)
    assert "adapter.safetensors" in sentence
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert len(sentence) < 300


def sparse_safetensors(path: Path, gigabytes: int) -> None:
    size = gigabytes << 30
    half = size // 2
    entries = {
        "image_proj.proj.weight": {"dtype": "U8", "shape": [half], "data_offsets": [0, half]},
        "ip_adapter.1.to_k_ip.weight": {"dtype": "U8", "shape": [half], "data_offsets": [half, size]},
    }
    header = json.dumps(entries).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    os.truncate(path, 8 + len(header) + size)


def test_shapes_of_a_file_of_gigabytes_are_read_in_no_time(tmp_path: Path) -> None:
    sparse_safetensors(tmp_path / "large.safetensors", gigabytes=6)
    begun = time.perf_counter()
    shapes = read_shapes(tmp_path / "large.safetensors")
    assert time.perf_counter() - begun < 0.5
    assert shapes["image_proj.proj.weight"] == (3 << 30,)


def test_an_old_style_pickle_of_gigabytes_is_refused_unread(tmp_path: Path) -> None:
    CONTAINERS["bin, old-style pickle"](PARTS, tmp_path / "large.bin")
    os.truncate(tmp_path / "large.bin", 6 << 30)
    with pytest.raises(CheckpointError, match="convert it to safetensors"):
        read_shapes(tmp_path / "large.bin")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=150)
@given(data=st.data(), container=st.sampled_from(["safetensors", "bin", "bin, old-style pickle"]))
def test_a_damaged_file_is_read_or_refused_but_never_a_traceback(
    data: st.DataObject, container: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.bin"
    CONTAINERS[container](PARTS, path)
    content = bytearray(path.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        del content[place:]
    else:
        content[place] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        read(path)
    except CheckpointError as refusal:
        assert "\n" not in str(refusal)  # noqa: PT017 - either outcome is right


def test_sha256_is_that_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
