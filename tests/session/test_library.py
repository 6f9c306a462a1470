"""Files are read once and pictures encoded once, until something has changed."""

from __future__ import annotations

import os
import weakref
from collections import Counter
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.models import save_adapter, tiny_adapter, tiny_encoder
from tests.session.fake_host import FakeHost, adapter_path, picture, unit


def test_the_same_picture_is_encoded_once_for_all_adapters(host: FakeHost, counts: Counter[str]) -> None:
    library = Library()
    for kind in (Kind.BASE, Kind.PLUS, Kind.BASE, Kind.PLUS):
        library.key_values(Unit(image=picture()), adapter_path(host, kind), host)
    assert counts == {"encoded": 1, "zeros": 1, "encoder": 1, "adapter": 2, "header": 2, "sizes": 1}


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Each time that an encoder has gone to the device."""
    made: list[object] = []
    original = ImageEncoder.stage
    monkeypatch.setattr(ImageEncoder, "stage", lambda self, *place: made.append(place) or original(self, *place))
    return made


@pytest.mark.parametrize("kind", [Kind.BASE, Kind.PLUS, Kind.FULL])
@pytest.mark.parametrize("more", [{}, {"negative_image": picture(3)}, {"noise": 0.5}])
def test_pictures_and_what_stands_for_none_are_one_trip_to_the_device(
    kind: Kind, more: dict[str, object], host: FakeHost, trips: list[object]
) -> None:
    Library().key_values(unit(images=[picture(1)], **more), adapter_path(host, kind), host)
    assert len(trips) == 1


def test_the_encoder_is_gone_from_the_device_before_the_adapter_comes(
    host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged: list[weakref.ref[Tensor]] = []
    held: list[int] = []
    stage, read = ImageEncoder.stage, IPAdapter.read

    def staging(self: ImageEncoder, *place: object) -> dict[str, Tensor]:
        weights = {name: tensor.clone() for name, tensor in stage(self, *place).items()}
        staged.extend(weakref.ref(tensor) for tensor in weights.values())
        return weights

    def reading(*about: object) -> IPAdapter:
        held.append(sum(ref() is not None for ref in staged))
        return read(*about)

    monkeypatch.setattr(ImageEncoder, "stage", staging)
    monkeypatch.setattr(IPAdapter, "read", reading)
    Library().key_values(unit(), adapter_path(host, Kind.PLUS), host)
    assert staged
    assert held == [0]


def test_all_pictures_of_a_unit_are_one_trip_to_the_device(host: FakeHost, trips: list[object]) -> None:
    several = Unit(image=picture(0), images=(picture(1), Image.new("RGB", (300, 60))), crop="tiles")
    library = Library()
    together = library.key_values(several, adapter_path(host, Kind.BASE), host).layers
    assert len(trips) == 1
    alone = [
        library.key_values(Unit(image=image, crop="tiles"), adapter_path(host, Kind.BASE), host).layers
        for image in several.pictures
    ]
    assert len(trips) == 1, "each is known by now"
    assert torch.equal(together[0].key[1:], torch.cat([one[0].key[1:] for one in alone], dim=1))


def test_an_equal_picture_from_another_object_is_the_same_picture(host: FakeHost, counts: Counter[str]) -> None:
    library = Library()
    for image in (picture(), picture().copy(), picture().convert("RGBA")):
        library.key_values(Unit(image=image), adapter_path(host, Kind.BASE), host)
    assert counts["encoded"] == 1


def test_another_look_at_the_same_picture_is_another_picture(host: FakeHost, counts: Counter[str]) -> None:
    library, path = Library(), adapter_path(host, Kind.BASE)
    looks = [{}, {"crop": "squash"}, {"sharpening": 0.5}, {"crop": "pad"}, {"crop": "pad", "background": "black"}]
    found = [library.key_values(unit(**look), path, host).layers[0].key for look in looks * 2]
    assert counts["encoded"] == len(looks)
    assert all(torch.equal(a, b) == (i % 5 == j % 5) for i, a in enumerate(found) for j, b in enumerate(found))


@pytest.mark.parametrize("kind", [Kind.BASE, Kind.PLUS])
def test_the_tokens_of_tiles_are_those_of_each_square_one_after_the_other(kind: Kind, host: FakeHost) -> None:
    long = Image.new("RGB", (3 * 56, 56))
    squares = [picture(seed).resize((56, 56)) for seed in range(3)]
    for number, one in enumerate(squares):
        long.paste(one, (56 * number, 0))
    library, path = Library(), adapter_path(host, kind)
    alone = [library.key_values(unit(image=one), path, host).layers for one in squares]
    tiled = library.key_values(unit(image=long, crop="tiles"), path, host).layers
    for layer, kv in enumerate(tiled):
        for name in ("key", "value"):
            wanted = torch.cat([getattr(one[layer], name) for one in alone], dim=1)
            torch.testing.assert_close(getattr(kv, name), wanted)


def test_without_room_everything_is_computed_again_and_is_the_same(host: FakeHost, counts: Counter[str]) -> None:
    roomy, tight = Library(), Library()
    tight.features.limit = tight.computed.limit = tight.adapters.limit = 0
    for seed in (0, 1, 0):
        wanted = roomy.key_values(Unit(image=picture(seed)), adapter_path(host, Kind.BASE), host)
        again = tight.key_values(Unit(image=picture(seed)), adapter_path(host, Kind.BASE), host)
        assert all(torch.equal(a.key, b.key) for a, b in zip(wanted.layers, again.layers, strict=True))
    assert counts["encoded"] == 2 + 3


def test_memory_is_bounded_however_many_pictures_there_are(host: FakeHost) -> None:
    library = Library()
    library.features.limit, library.computed.limit = 1 << 16, 1 << 20
    for seed in range(25):
        library.key_values(Unit(image=picture(seed)), adapter_path(host, Kind.PLUS), host)
    assert library.features.nbytes <= library.features.limit
    assert library.computed.nbytes <= library.computed.limit
    assert len(library.features) > 1


def test_everything_kept_rests_on_the_cpu(host: FakeHost) -> None:
    library = Library()
    layers = library.key_values(Unit(image=picture()), adapter_path(host, Kind.PLUS), host).layers
    assert {(kv.key.device.type, kv.key.dtype, kv.key.requires_grad) for kv in layers} == {
        ("cpu", torch.float32, False)
    }


@pytest.mark.parametrize("step", ["project", "key_values"])
@pytest.mark.parametrize(
    "full",
    [
        torch.cuda.OutOfMemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 5.44 GB)"),
        RuntimeError("Could not allocate tensor with 4096 bytes. There is not enough GPU video memory available!"),
    ],
)
def test_without_room_on_the_device_an_adapter_runs_on_the_cpu(
    step: str, full: RuntimeError, host: FakeHost, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path, original, filled = host.folder / "adapters" / "plus.safetensors", getattr(IPAdapter, step), [full]

    def once_full(*args: Any, **more: Any) -> Any:
        if filled:
            raise filled.pop()
        return original(*args, **more)

    wanted = Library().key_values(Unit(image=picture()), path, host)
    monkeypatch.setattr(IPAdapter, step, once_full)
    found = Library().key_values(Unit(image=picture()), path, host)
    assert all(torch.equal(a.key, b.key) for a, b in zip(found.layers, wanted.layers, strict=True))
    assert "no room for the adapter on cpu" in caplog.text


def test_another_failure_on_the_device_is_no_want_of_room(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("device-side assert triggered")

    monkeypatch.setattr(IPAdapter, "project", fail)
    with pytest.raises(RuntimeError, match="device-side assert"):
        Library().key_values(Unit(image=picture()), host.folder / "adapters" / "plus.safetensors", host)


def test_an_adapter_that_changed_on_disk_is_read_again(own_host: FakeHost, counts: Counter[str]) -> None:
    library, path = Library(), adapter_path(own_host, Kind.BASE)
    before = library.key_values(Unit(image=picture()), path, own_host)
    save_adapter(tiny_adapter(Kind.BASE, seed=5), path)
    os.utime(path, ns=(1, 1))
    after = library.key_values(Unit(image=picture()), path, own_host)
    assert not torch.equal(before.layers[0].key, after.layers[0].key)
    assert (counts["adapter"], counts["encoded"]) == (2, 1)


def test_an_encoder_that_changed_on_disk_is_read_again(own_host: FakeHost, counts: Counter[str]) -> None:
    library, path = Library(), adapter_path(own_host, Kind.BASE)
    before = library.key_values(Unit(image=picture()), path, own_host)
    tiny_encoder(seed=5).save_pretrained(own_host.folder / "encoders" / "tiny", safe_serialization=True)
    os.utime(own_host.folder / "encoders" / "tiny" / "model.safetensors", ns=(1, 1))
    after = library.key_values(Unit(image=picture()), path, own_host)
    assert not torch.equal(before.layers[0].key, after.layers[0].key)
    assert (counts["encoder"], counts["encoded"], counts["adapter"]) == (2, 2, 1)


def test_unloading_forgets_everything(host: FakeHost, counts: Counter[str]) -> None:
    library = Library()
    for _ in range(2):
        library.key_values(Unit(image=picture()), adapter_path(host, Kind.BASE), host)
        library.unload()
    assert (counts["encoded"], counts["adapter"], counts["header"]) == (2, 2, 2)
    assert library.computed.nbytes == library.adapters.nbytes == library.encoders.nbytes == 0


def test_two_names_of_one_file_are_one_encoder_and_one_adapter(own_host: FakeHost, counts: Counter[str]) -> None:
    library, folder = Library(), own_host.folder
    path = adapter_path(own_host, Kind.BASE)
    other = path.with_name("other name.safetensors")
    try:
        os.link(path, other)
        (folder / "encoders" / "aaa").mkdir()
        for file in (folder / "encoders" / "tiny").iterdir():
            os.link(file, folder / "encoders" / "aaa" / file.name)
    except OSError:
        pytest.skip("this user may not make links")
    library.key_values(Unit(image=picture()), path, own_host)
    library.key_values(Unit(image=picture(), encoder="aaa"), other, own_host)
    library.key_values(Unit(image=picture(), encoder="tiny"), path, own_host)
    assert (counts["encoder"], counts["encoded"], counts["adapter"]) == (1, 1, 1)


def test_only_one_encoder_is_in_memory_at_a_time(own_host: FakeHost, counts: Counter[str]) -> None:
    library, folder = Library(), own_host.folder / "encoders"
    tiny_encoder(seed=7).save_pretrained(folder / "zwei", safe_serialization=True)
    for name in ("tiny", "zwei", "tiny"):
        library.key_values(Unit(image=picture(), encoder=name), adapter_path(own_host, Kind.BASE), own_host)
        assert len(library.encoders) == 1
    assert (counts["encoder"], counts["encoded"]) == (2, 2)


def test_unloading_tells_how_much_was_freed(host: FakeHost) -> None:
    library = Library()
    library.key_values(Unit(image=picture()), adapter_path(host, Kind.BASE), host)
    held = library.adapters.nbytes + library.encoders.nbytes + library.features.nbytes + library.computed.nbytes
    assert library.unload() == held > 0
    assert library.unload() == 0
