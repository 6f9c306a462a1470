"""Of a file that cannot be used nothing is kept but the sentence that says so."""

from __future__ import annotations

import errno
import gc
import os
import time
import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import weights_file
from lib_ipadapter.model.face import WIDTH
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.models import save_adapter, tiny_adapter, tiny_encoder, variant
from tests.session.fake_host import FakeHost, adapter_path, picture


def test_a_bad_header_is_looked_at_once_and_again_when_the_file_has_changed(
    tmp_path: Path, counts: Counter[str]
) -> None:
    library, path = Library(), tmp_path / "ip.safetensors"
    path.write_text("<html>")
    for _ in range(3):
        with pytest.raises(CheckpointError, match="web page"):
            library.variant(path)
    assert counts["header"] == 1
    save_adapter(tiny_adapter(Kind.PLUS), path)
    assert library.variant(path) == variant(Kind.PLUS)


def test_a_remembered_error_keeps_nothing_of_those_who_met_it(tmp_path: Path) -> None:
    library, path = Library(), tmp_path / "ip.safetensors"
    path.write_text("<html>")

    def meet() -> weakref.ref[torch.nn.Module]:
        unet = torch.nn.Linear(1, 1)
        with pytest.raises(CheckpointError):
            library.variant(path)
        return weakref.ref(unet)

    met = [meet(), meet()]
    gc.collect()
    assert [ref() for ref in met] == [None, None]


PASSING = [
    PermissionError(errno.EACCES, "Permission denied"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EMFILE, "Too many open files"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    MemoryError(),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:73] DefaultCPUAllocator: not enough memory: you tried to allocate 9 bytes."
    ),
]


@pytest.mark.parametrize("failure", PASSING, ids=repr)
def test_what_passes_is_not_remembered_of_a_file(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, path = Library(), save_adapter(tiny_adapter(Kind.PLUS), tmp_path / "ip.safetensors")

    def fail(_: Path) -> None:
        raise failure

    with monkeypatch.context() as patch:
        patch.setattr(weights_file, "_sniff", fail)
        with pytest.raises(CheckpointError, match=r"ip\.safetensors"):
            library.variant(path)
    assert library.variant(path) == variant(Kind.PLUS)


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_is_looked_at_again(
    tmp_path: Path, counts: Counter[str]
) -> None:
    """As whoever keeps the times of what he copies does it, into the file that is there."""
    library, path = Library(), save_adapter(tiny_adapter(Kind.BASE), tmp_path / "ip.safetensors")
    content, about = path.read_bytes(), path.stat()
    library.variant(path)
    time.sleep(0.02)
    path.write_bytes(content)
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
    library.variant(path)
    assert counts["header"] == 2


def test_a_file_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no file"):
        Library().variant(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_adapter_that_holds_no_numbers_is_a_sentence_and_not_kept(bad: float, own_host: FakeHost) -> None:
    library, path = Library(), adapter_path(own_host, Kind.BASE)
    tensors = dict(tiny_adapter(Kind.BASE).state_dict())
    tensors["ip_adapter.31.to_v_ip.weight"] = (
        tensors["ip_adapter.31.to_v_ip.weight"].clone().index_fill_(0, torch.tensor([3]), bad)
    )
    save_file(tensors, path)
    with pytest.raises(CheckpointError, match=r"base\.safetensors gives values that are not numbers"):
        library.key_values(Unit(image=picture()), path, own_host)
    assert (len(library.computed), len(library.adapters)) == (0, 0)


def spoil(path: Path, key: str) -> None:
    """Makes one value of the file no number."""
    tensors = load_file(path)
    tensors[key].view(-1)[3] = torch.nan
    save_file(tensors, path)


def test_tokens_that_are_no_numbers_are_never_saved(own_host: FakeHost) -> None:
    library, path = Library(), adapter_path(own_host, Kind.BASE)
    spoil(path, "image_proj.proj.bias")
    with pytest.raises(CheckpointError, match=r"base\.safetensors gives values that are not numbers"):
        library.image_prompt(Unit(image=picture()), path, own_host)
    assert len(library.adapters) == 0


def test_a_lora_that_holds_no_numbers_is_a_sentence_too(own_host: FakeHost) -> None:
    """No token passes it, so that keys and values are sound."""
    library = Library()
    path = save_adapter(tiny_adapter(Kind.FACEID), own_host.folder / "adapters" / "face.safetensors")
    spoil(path, "ip_adapter.0.to_q_lora.up.weight")
    with pytest.raises(CheckpointError, match=r"face\.safetensors gives values that are not numbers"):
        library.key_values(Unit.parse({"face": [[1.0] * WIDTH]}), path, own_host)
    assert (len(library.computed), len(library.adapters)) == (0, 0)


def test_of_an_encoder_that_gives_no_numbers_nothing_is_kept(own_host: FakeHost) -> None:
    library, model = Library(), tiny_encoder()
    with torch.no_grad():
        model.vision_model.embeddings.class_embedding[3] = float("nan")
    model.save_pretrained(own_host.folder / "encoders" / "tiny", safe_serialization=True)
    with pytest.raises(CheckpointError, match="image encoder tiny gives values that are not numbers"):
        library.key_values(Unit(image=picture()), adapter_path(own_host, Kind.BASE), own_host)
    assert library.unload() == 0


def test_why_not_is_a_few_words_for_each_kind_of_misfit(tmp_path: Path) -> None:
    library = Library()
    good = save_adapter(tiny_adapter(Kind.BASE), tmp_path / "good.safetensors")
    save_file({"lora_unet_x.lora_up.weight": torch.ones(1)}, tmp_path / "lora.safetensors")
    (tmp_path / "page.bin").write_text("<html>")
    assert library.why_not(good) == ""
    assert library.why_not(tmp_path / "lora.safetensors") == "is not an IP-Adapter: it looks like a LoRA"
    assert library.why_not(tmp_path / "page.bin") == "is a web page, not a model"
