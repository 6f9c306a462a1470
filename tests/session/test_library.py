"""Files are read once and pictures encoded once, until something has changed."""

from __future__ import annotations

import gc
import os
import weakref
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lib_ipadapter.errors import CheckpointError, UnitError
from lib_ipadapter.model import encoder_sizes
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.face import WIDTH
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session import library as module
from lib_ipadapter.session.library import LRU, Library
from lib_ipadapter.session.unit import Unit
from tests.models import save_adapter, tiny_adapter, tiny_encoder, variant
from tests.session.fake_host import FakeHost, picture, unit


@dataclass
class Thing:
    nbytes: int


def kept(cache: LRU[Thing], names: str) -> str:
    return "".join(name for name in names if name in cache._items)


def test_a_cache_keeps_what_was_used_last_within_its_bytes() -> None:
    cache: LRU[Thing] = LRU(30)
    for name in "abcab":
        cache.get(name, lambda: Thing(10))
    cache.get("d", lambda: Thing(10))
    assert (kept(cache, "abcd"), cache.nbytes, len(cache)) == ("abd", 30, 3)
    cache.get("e", lambda: Thing(25))
    assert (kept(cache, "abcde"), cache.nbytes) == ("e", 25)


def test_the_units_of_a_large_job_outlast_each_others_turn() -> None:
    """Four of SDXL with plus and four pictures each."""
    cache, made = Library().computed, []
    for name in "abcd" * 2:
        cache.get(name, lambda name=name: made.append(name) or Thing(81 << 20))  # pyright: ignore[reportArgumentType]
    assert "".join(made) == "abcd"


def test_the_newest_stays_though_it_alone_is_too_large() -> None:
    cache: LRU[Thing] = LRU(0)
    for name in "ab":
        assert cache.get(name, lambda: Thing(10)).nbytes == 10
    assert kept(cache, "ab") == "b"


def test_what_could_not_be_made_is_not_kept() -> None:
    cache: LRU[Thing] = LRU(10)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: Thing(1 // 0))
    assert cache.get("a", lambda: Thing(1)) == Thing(1)


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often files were read and pictures encoded."""
    counted: Counter[str] = Counter()

    def count(owner: object, name: str, what: str) -> None:
        original = getattr(owner, name)

        def counting(*args: object, **kwargs: object) -> object:
            counted[what] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(ImageEncoder, "encode", "encoded")
    count(ImageEncoder, "encode_zeros", "zeros")
    count(ImageEncoder, "read", "encoder")
    count(IPAdapter, "read", "adapter")
    count(module, "identify", "header")
    count(encoder_sizes, "read_sizes", "sizes")
    return counted


def adapter_path(host: FakeHost, kind: Kind) -> Path:
    return host.folder / "adapters" / f"{kind.value}.safetensors"


def test_the_same_picture_is_encoded_once_for_all_adapters(host: FakeHost, counts: Counter[str]) -> None:
    library = Library()
    for kind in (Kind.BASE, Kind.PLUS, Kind.BASE, Kind.PLUS):
        library.key_values(Unit(image=picture()), adapter_path(host, kind), host)
    assert counts == {"encoded": 1, "zeros": 1, "encoder": 1, "adapter": 2, "header": 2, "sizes": 1}


def test_all_pictures_of_a_unit_are_one_trip_to_the_device(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    trips: list[object] = []
    original = ImageEncoder.stage
    monkeypatch.setattr(ImageEncoder, "stage", lambda self, *place: trips.append(place) or original(self, *place))
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


def test_the_encoder_is_found_by_the_width_that_the_adapter_is_fed_with(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    (folder / "aaa").mkdir()
    (folder / "aaa" / "config.json").write_text('{"hidden_size": 1280, "patch_size": 14, "projection_dim": 1024}')
    (folder / "aaa" / "model.safetensors").touch()
    (folder / "junk.safetensors").write_text("junk")
    for kind in PICTURE_KINDS:
        assert Library().find_encoder(variant(kind), [folder]) == folder / "tiny"


def test_no_encoder_is_one_sentence_that_says_which_is_needed_what_is_there_and_where_to_put_it(
    own_host: FakeHost,
) -> None:
    folder = own_host.folder / "encoders"
    (folder / "tiny" / "config.json").write_text('{"hidden_size": 1280, "patch_size": 14, "projection_dim": 1024}')
    words = (
        r"one that is not published, image_embeds 40 wide; searched .*encoders;"
        r" also there: tiny \(its image_embeds are 1024 wide\); put its folder or file into .*encoders\."
    )
    with pytest.raises(UnitError, match=words):
        Library().find_encoder(variant(Kind.BASE), [folder])


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


def test_an_encoder_asked_for_by_name_is_the_one_that_is_used(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    tiny_encoder(seed=7).save_pretrained(folder / "sub" / "Zwei", safe_serialization=True)
    for name in ("sub/Zwei", "SUB/zwei", " zwei"):
        assert Library().find_encoder(variant(Kind.BASE), [folder], name) == folder / "sub" / "Zwei"


def test_an_encoder_of_the_wrong_width_is_refused_by_name_and_never_chosen(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    tiny_encoder(embed=24).save_pretrained(folder / "aaa", safe_serialization=True)
    assert Library().find_encoder(variant(Kind.BASE), [folder]) == folder / "tiny"
    words = r"encoder 'aaa' cannot serve this adapter, it needs .* 40 wide: its image_embeds are 24 wide; leave"
    with pytest.raises(UnitError, match=words):
        Library().find_encoder(variant(Kind.BASE), [folder], "aaa")


def test_an_encoder_that_is_not_there_is_a_sentence_with_what_is(own_host: FakeHost) -> None:
    folder = own_host.folder / "encoders"
    (folder / "tini.safetensors").touch()
    words = r"no image encoder called 'tyni': .*; also there: tin. \(.*\), tin. \(.*\); put"
    with pytest.raises(UnitError, match=words) as refusal:
        Library().find_encoder(variant(Kind.BASE), [folder], "tyni")
    assert "tiny (it fits)" in str(refusal.value)
    assert "tini (is an empty file)" in str(refusal.value)


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


def test_unloading_tells_how_much_was_freed(host: FakeHost) -> None:
    library = Library()
    library.key_values(Unit(image=picture()), adapter_path(host, Kind.BASE), host)
    held = library.adapters.nbytes + library.encoders.nbytes + library.features.nbytes + library.computed.nbytes
    assert library.unload() == held > 0
    assert library.unload() == 0
