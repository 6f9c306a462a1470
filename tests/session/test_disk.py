"""Encoded pictures outlive a restart, within their bytes, and a damaged file is as none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder, ImageFeatures, Staged
from lib_ipadapter.session import encoding
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.stamps import fingerprint
from lib_ipadapter.session.unit import Unit
from tests.models import tiny_encoder
from tests.session.fake_host import FakeHost, picture, unit


def features(seed: int = 0) -> ImageFeatures:
    draw = torch.Generator().manual_seed(seed)
    return ImageFeatures(torch.randn(1, 40, generator=draw), torch.randn(1, 5, 64, generator=draw))


@pytest.fixture
def disk(tmp_path: Path) -> DiskCache:
    return DiskCache(tmp_path / "cache", 1 << 20)


def files(disk: DiskCache) -> list[Path]:
    return sorted(disk.folder.iterdir()) if disk.folder.is_dir() else []


def test_what_was_put_comes_back_bit_for_bit_and_nothing_else_does(disk: DiskCache) -> None:
    disk.put("a", features())
    found = DiskCache(disk.folder, disk.limit).get("a")
    assert found is not None
    assert torch.equal(found.hidden_states, features().hidden_states)
    assert torch.equal(found.image_embeds, features().image_embeds)
    assert disk.get("b") is None


def test_a_folder_that_may_only_be_read_is_read(disk: DiskCache, monkeypatch: pytest.MonkeyPatch) -> None:
    disk.put("a", features(1))

    def refused(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refused)
    assert disk.get("a") is not None


def damaged(data: bytes) -> Iterator[bytes]:
    yield b""
    yield data[:100]
    yield data[:-8]
    yield b"<html>" + data
    yield data[:-4] + b"\x00\x00\xc0\x7f"  # not a number


def test_a_damaged_file_is_as_none_and_is_removed(disk: DiskCache) -> None:
    disk.put("a", features())
    (path,) = files(disk)
    for data in list(damaged(path.read_bytes())):
        path.write_bytes(data)
        assert disk.get("a") is None
        assert files(disk) == []


def test_it_keeps_what_was_used_last_within_its_bytes(disk: DiskCache) -> None:
    disk.put("a", features())
    small = DiskCache(disk.folder, 3 * disk.nbytes)
    for key in "bc":
        small.put(key, features())
    for number, path in enumerate(files(small)):
        os.utime(path, (number + 1, number + 1))
    assert small.get("a") is not None
    small.put("d", features())
    assert len(files(small)) == 3
    assert small.get("a") is not None
    assert small.nbytes <= small.limit


def test_what_is_larger_than_all_room_is_not_kept(disk: DiskCache) -> None:
    DiskCache(disk.folder, 100).put("a", features())
    assert files(disk) == []


def test_clearing_removes_ours_and_what_was_half_written_and_nothing_else(disk: DiskCache) -> None:
    disk.put("a", features())
    (disk.folder / "x.features.part").write_bytes(b"12345")
    (disk.folder / "mine.txt").write_text("mine")
    assert disk.clear() > 5
    assert [path.name for path in files(disk)] == ["mine.txt"]


def test_a_folder_that_cannot_be_written_costs_no_picture(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    disk = DiskCache(tmp_path / "file" / "cache", 1 << 20)
    disk.put("a", features())
    assert disk.get("a") is None
    assert "cannot be kept" in caplog.text


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every run of the encoder."""
    counted: list[str] = []
    original = ImageEncoder._run

    def run(self: ImageEncoder, *args: object) -> ImageFeatures:
        counted.append("run")
        return original(self, *args)

    monkeypatch.setattr(ImageEncoder, "_run", run)
    return counted


def test_a_reference_is_encoded_once_across_units_passes_jobs_and_starts(
    host: FakeHost, disk: DiskCache, encoded: list[str]
) -> None:
    host.cache = disk
    outputs = []
    for _ in range(3):  # a start each
        library = Library()
        for _ in range(2):  # a pass each
            with Generation(host, [unit("base"), unit("plus", scale=0.5)], library):
                outputs.append(host.run())
    assert len(encoded) == 2, "the picture, and the zero pixels of the plus adapter"
    assert all(torch.equal(output, outputs[0]) for output in outputs)


def test_another_encoder_finds_nothing_of_the_first(own_host: FakeHost, disk: DiskCache, encoded: list[str]) -> None:
    own_host.cache = disk
    for seed in (0, 5):
        tiny_encoder(seed=seed).save_pretrained(own_host.folder / "encoders" / "tiny", safe_serialization=True)
        Library().key_values(Unit(image=picture()), own_host.folder / "adapters" / "base.safetensors", own_host)
    assert len(encoded) == 2


def prompt(host: FakeHost) -> None:
    Library().key_values(Unit(image=picture()), host.folder / "adapters" / "base.safetensors", host)


def test_what_the_cpu_made_for_want_of_room_is_not_what_the_device_would_have_made(
    host: FakeHost, disk: DiskCache, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.cache, host.dtype = disk, torch.float64  # in place of a GPU's half precision
    original = ImageEncoder.stage

    def full(self: ImageEncoder, device: torch.device, dtype: torch.dtype) -> Staged:
        if dtype == torch.float64:
            raise torch.cuda.OutOfMemoryError
        return original(self, device, dtype)

    with monkeypatch.context() as patch:
        patch.setattr(ImageEncoder, "stage", full)
        prompt(host)
    prompt(host)
    assert len(encoded) == 2, "there is room again"
    host.dtype = torch.float32
    prompt(host)
    assert len(encoded) == 2, "and on the CPU it is known"


def test_another_version_of_the_features_finds_nothing_of_the_last(
    host: FakeHost, disk: DiskCache, encoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.cache = disk
    prompt(host)
    monkeypatch.setattr(encoding, "FORMAT", "next")
    prompt(host)
    assert len(encoded) == 2


def test_a_file_is_known_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    one, two = tmp_path / "a.bin", tmp_path / "b.bin"
    content = bytearray(os.urandom(9 << 20))
    one.write_bytes(content)
    two.write_bytes(content)
    os.utime(one, ns=(1, 1))
    os.utime(two, ns=(1, 1))
    assert fingerprint(one) == fingerprint(two)
    two.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(two, ns=(1, 1))
    assert fingerprint(one) != fingerprint(two)


def test_no_pixel_of_a_picture_is_on_the_disk(host: FakeHost, disk: DiskCache) -> None:
    host.cache = disk
    own = unit("base")
    Library().key_values(own, host.folder / "adapters" / "base.safetensors", host)
    (path,) = files(disk)
    content = path.read_bytes()
    assert own.image is not None
    assert own.image.tobytes()[:48] not in content
    assert own.image_hash.encode() not in content
    assert own.image_hash not in path.name


def test_of_fifty_pictures_in_one_unit_no_more_is_kept_than_there_is_room_for(host: FakeHost) -> None:
    library = Library()
    library.features.limit = 1 << 16
    path = host.folder / "adapters" / f"{Kind.PLUS.value}.safetensors"
    many = Unit.parse({"images": [picture(seed) for seed in range(50)], "combine": "average"})
    library.key_values(many, path, host)
    assert library.features.nbytes <= library.features.limit
