"""Saved embeddings come back as they were, and what is none is a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import weights_file
from lib_ipadapter.model.face_file import read_face, write_face


@pytest.mark.parametrize("faces", [1, 5])
def test_what_is_written_is_read(faces: int, tmp_path: Path) -> None:
    raw = torch.randn(faces, 512)
    write_face(tmp_path / "a.safetensors", raw)
    assert torch.equal(read_face(tmp_path / "a.safetensors"), raw)


@pytest.mark.parametrize("shape", [(512,), (1, 512), (3, 512)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_numpy_file_does_as_well_whatever_its_suffix(shape: tuple[int, ...], dtype: type, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(dtype)
    with (tmp_path / "a.safetensors").open("wb") as file:
        np.save(file, values)
    found = read_face(tmp_path / "a.safetensors")
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), values.astype(np.float32).reshape(-1, 512))


BAD = {
    "zeros": torch.zeros(2, 512),
    "one of two is zero": torch.stack([torch.ones(512), torch.zeros(512)]),
    "not a number": torch.full((512,), float("nan")),
    "another width": torch.ones(1, 768),
    "too many": torch.ones(17, 512),
    "none": torch.ones(0, 512),
    "three dimensions": torch.ones(1, 1, 512),
    "whole numbers": torch.ones(512, dtype=torch.int64),
}


@pytest.mark.parametrize("wrong", BAD.values(), ids=BAD)
def test_what_is_no_embedding_is_a_sentence(wrong: torch.Tensor, tmp_path: Path) -> None:
    save_file({"face": wrong}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"a\.safetensors holds no face embedding: .*; write it again\.$"):
        read_face(tmp_path / "a.safetensors")


def test_another_kind_of_file_is_a_sentence(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(512)}, tmp_path / "a.safetensors")
    with pytest.raises(CheckpointError, match=r"expected a tensor called 'face'; .*lib_ipadapter face PICTURE"):
        read_face(tmp_path / "a.safetensors")
    (tmp_path / "b.npy").write_text("<html>")
    with pytest.raises(CheckpointError, match="web page"):
        read_face(tmp_path / "b.npy")


def test_a_numpy_file_with_objects_is_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"code": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(CheckpointError, match=r"a\.npy cannot be read"):
        read_face(tmp_path / "a.npy")


def npy(path: Path, dtype: str, shape: str) -> Path:
    """A header that may lie, and what one face takes."""
    about = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(about).to_bytes(2, "little") + about + bytes(2048))
    return path


LIES = {
    "records": ("[('a', '<f4'), ('b', '<f4')]", "(256,)"),
    "texts": ("'<U1'", "(512,)"),
    "times": ("'<M8[s]'", "(256,)"),
    "more than any memory": ("'<f4'", f"({1 << 40}, 512)"),
    "no shape": ("'<f4'", "'x'"),
}


@pytest.mark.parametrize(("dtype", "shape"), LIES.values(), ids=LIES)
def test_a_numpy_file_of_another_type_or_an_impossible_shape_is_a_sentence(
    dtype: str, shape: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"a\.npy (cannot be read|holds no face)") as refusal:
        read_face(npy(tmp_path / "a.npy", dtype, shape))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("name", ["a.npy", "a.safetensors"])
def test_a_file_too_large_for_faces_is_not_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner, reader in ((np, "load"), (weights_file, "read_any")):
        monkeypatch.setattr(owner, reader, lambda *_, **__: pytest.fail("was read"))
    (tmp_path / name).write_bytes(bytes((1 << 20) + 1))
    with pytest.raises(CheckpointError, match="is no saved face: it has over 1 MB; choose another"):
        read_face(tmp_path / name)
