"""Too little memory is told as that, and never as a broken file."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors import SafetensorError

from lib_ipadapter.errors import CheckpointError, from_too_little_memory
from lib_ipadapter.model import checkpoint, encoder_sizes, vision, weights_file
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder
from tests.models import save_adapter, tiny_adapter, tiny_encoder

FULL = [
    MemoryError(),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    SafetensorError("Error while deserializing header: Cannot allocate memory (os error 12)"),
    SafetensorError("I/O error: Die Auslagerungsdatei ist zu klein, um diesen Vorgang durchzuführen. (os error 1455)"),
    OSError("The paging file is too small for this operation to complete."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory: you tried to allocate 9"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes. Error code 12"),
    RuntimeError("Couldn't open shared file mapping: <torch_1>, error code: <1455>"),
]
OTHER = [
    ValueError("No such key: memory"),
    OSError(errno.EACCES, "Permission denied"),
    RuntimeError("PytorchStreamReader failed reading file model-1455.bin"),
    RuntimeError("CUDA out of memory. Tried to allocate 9 GiB"),
]


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_it_is_known_by_class_number_and_words() -> None:
    windows = OSError("localised")
    windows.winerror = 1455  # pyright: ignore[reportAttributeAccessIssue]
    assert [error for error in (*FULL, windows) if not from_too_little_memory(error)] == []
    assert [error for error in OTHER if from_too_little_memory(error)] == []


def check(look: Callable[[], object], error: Exception) -> None:
    with pytest.raises(CheckpointError, match=r"too little memory \(RAM\) to read .*ip") as said:
        look()
    assert "download" not in str(said.value)
    assert "paging file" in str(said.value).split("; ")[1]
    assert said.value.__cause__ is error


@pytest.mark.parametrize("error", FULL, ids=repr)
def test_a_file_that_does_not_fit_into_memory_is_not_called_broken(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_adapter(tiny_adapter(Kind.BASE), tmp_path / "ip.safetensors")
    for part in ("_safetensors_header", "_read_safetensors"):
        with monkeypatch.context() as patch:
            patch.setattr(weights_file, part, raising(error))
            check(lambda: checkpoint.read_shapes(path), error)
    monkeypatch.setattr(checkpoint, "joined", raising(error))
    if not isinstance(error, (OSError, SafetensorError)):  # nothing is opened there
        check(lambda: checkpoint.read(path), error)


@pytest.mark.parametrize("error", FULL, ids=repr)
def test_nor_is_an_image_encoder(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_encoder().save_pretrained(tmp_path / "ip")
    monkeypatch.setattr(vision, "_build", raising(error))
    check(lambda: ImageEncoder.read(tmp_path / "ip"), error)
    monkeypatch.setattr(encoder_sizes, "read_config", raising(error))
    if not isinstance(error, SafetensorError):  # of weights alone
        check(lambda: encoder_sizes.read_sizes(tmp_path / "ip"), error)
