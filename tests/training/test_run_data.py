"""What a run makes of its data: what it skips, what it keeps, what there is no room for."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.training import filler
from lib_ipadapter.training.cache import Cache
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.entries import Entry
from lib_ipadapter.training.filler import AT_ONCE
from lib_ipadapter.training.frozen import Frozen, Item
from lib_ipadapter.training.holdout import divide, one_of_each
from lib_ipadapter.training.remembered import remembered
from lib_ipadapter.training.run import train
from lib_ipadapter.training.store import Store
from tests.models import tiny_encoder, tiny_pipeline
from tests.training.world import config, equal, run, save_pictures


def test_unreadable_pictures_are_skipped_and_counted(world: Path, tmp_path: Path) -> None:
    data = save_pictures(tmp_path / "data")
    whole = (data / "red.png").read_bytes()
    (data / "red.png").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    train(config(world, tmp_path / "out", data=data, steps=1), said.append)
    assert "7 usable entries; skipped: 1 corrupt" in said
    assert (tmp_path / "out" / "skipped.txt").read_text() == "red.png: corrupt\n"


def test_a_record_that_cannot_be_written_is_a_sentence(world: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json" / "in the way").mkdir(parents=True)
    with pytest.raises(TrainingError, match=r"config.json cannot be written \(Is a directory\); choose another place"):
        run(world, tmp_path, steps=1)


def test_a_name_that_is_not_utf_8_is_trained_on_or_written_down_with_the_skipped(world: Path, tmp_path: Path) -> None:
    data = save_pictures(tmp_path / "data")
    for name in ("red", "blue"):
        (data / f"{name}.png").rename(os.fsdecode(os.fsencode(data) + b"/" + name.encode() + b"\xe9.png"))
    (data / "red.txt").rename(os.fsdecode(os.fsencode(data) + b"/red\xe9.txt"))
    run(world, tmp_path / "out", data=data, steps=1)
    assert (tmp_path / "out" / "skipped.txt").read_text() == "blue\\udce9.png: empty caption\n"


def test_a_damaged_reference_takes_its_own_entry_and_no_other_along(world: Path, tmp_path: Path) -> None:
    data = save_pictures(tmp_path / "data")
    whole = (data / "red.png").read_bytes()
    (data / "red.png").write_bytes(whole[: len(whole) // 2])
    entry = {"image_file": "blue.png", "text": "x"}
    (data / "list.json").write_text(json.dumps([entry, {**entry, "cond_image": "red.png"}]))
    said: list[str] = []
    train(config(world, tmp_path / "out", data=data / "list.json", steps=1), said.append)
    assert "1 usable entry; skipped: 1 corrupt" in said


def test_latents_and_features_on_disk_are_made_once(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = run(world, tmp_path / "one", cache=tmp_path / "cache", cache_memory=0)
    monkeypatch.setattr(Frozen, "encode_latents", lambda *_: pytest.fail("encoded again"))
    monkeypatch.setattr(Frozen, "encode_texts", lambda *_: pytest.fail("encoded again"))
    assert equal(run(world, tmp_path / "two", cache=tmp_path / "cache"), first)


@pytest.mark.parametrize("left", [0, 50, -1])
def test_a_file_of_the_cache_that_lost_its_end_is_none(left: int, tmp_path: Path) -> None:
    Store(tmp_path, 0).put("key", {"x": torch.ones(3)})
    file = tmp_path / "ke" / "key.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    again = Store(tmp_path, 0)
    assert "key" not in again
    with pytest.raises(TrainingError, match=r"key.safetensors was encoded for this run and cannot be read now"):
        again.get("key")
    again.put("key", {"x": torch.zeros(3)})
    assert torch.equal(Store(tmp_path, 0).get("key")["x"], torch.zeros(3))


def test_texts_of_another_tokenizer_are_not_mistaken_for_its_own(tmp_path: Path) -> None:
    pipeline = tiny_pipeline()
    made = Frozen(pipeline, ImageEncoder(tiny_encoder()), torch.device("cpu"), torch.float32)
    folders = []
    for words in ({"a": 0, "b": 1}, {"b": 1, "a": 0}, {"a": 1, "b": 0}):
        made.pipeline = SimpleNamespace(tokenizer=SimpleNamespace(get_vocab=lambda words=words: words))
        cache = Cache.open(made, Feature.IMAGE_EMBEDS, config(tmp_path, tmp_path), tmp_path)
        folders.append((cache.texts.folder, cache.latents.folder))
    assert folders[0] == folders[1]
    assert folders[2][0] != folders[0][0]
    assert folders[2][1] == folders[0][1]


def test_what_a_model_encodes_with_other_settings_is_not_mistaken_for_its_own(tmp_path: Path) -> None:
    made = Frozen(tiny_pipeline(), ImageEncoder(tiny_encoder()), torch.device("cpu"), torch.float32)

    def folders() -> list[Path | None]:
        cache = Cache.open(made, Feature.IMAGE_EMBEDS, config(tmp_path, tmp_path), tmp_path)
        return [store.folder for store in (cache.latents, cache.features, cache.texts)]

    before = folders()
    made.vae.register_to_config(scaling_factor=0.5, _name_or_path="elsewhere")
    made.encoder.model.config.name_or_path = "elsewhere"
    after = folders()
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True]
    made.encoder.model.config.hidden_act = "gelu" if made.encoder.model.config.hidden_act != "gelu" else "quick_gelu"
    assert [a == b for a, b in zip(after, folders(), strict=True)] == [True, False, True]


def test_pictures_that_have_not_changed_are_hashed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, folder = tmp_path / "one", tmp_path / "other", tmp_path / "cache"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    with remembered(folder) as hash_of:
        first = [hash_of(one), hash_of(other)]
    with (folder / "hashes.jsonl").open("a") as file:
        file.write("[1, ")  # the end of a run that was cut off
    read: list[str] = []
    monkeypatch.setattr("lib_ipadapter.training.remembered.sha256", lambda path: read.append(path.name) or "new")
    other.write_bytes(b"33")
    with remembered(folder) as hash_of:
        assert [hash_of(one), hash_of(other)] == [first[0], "new"]
    assert read == ["other"]


def test_a_cache_that_cannot_be_written_is_said(world: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(TrainingError, match=r"The cache cannot be written .*; give --cache another folder"):
        run(world, tmp_path / "out", steps=1, cache=tmp_path / "cache")


def test_what_does_not_fit_into_memory_is_said_before_it_is_encoded(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = 8 * (8 * 8 * 8 + 6) * 4, 9 * 40 * 4, 2 * 77 * 48 * 4  # of latents, features, texts
    run(world, tmp_path / "fits", steps=1, cache_memory=sum(sizes) / 2**30)
    monkeypatch.setattr("lib_ipadapter.training.filler.read_picture", lambda _: pytest.fail("read"))
    with pytest.raises(TrainingError, match=r"take .* GiB, and --cache-memory allows .*; give --cache a folder"):
        run(world, tmp_path / "over", steps=1, cache_memory=(sum(sizes) - 1) / 2**30)


def test_what_does_not_fit_on_the_disk_is_said_before_it_is_encoded(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    monkeypatch.setattr("lib_ipadapter.training.filler.read_picture", lambda _: pytest.fail("read"))
    with pytest.raises(TrainingError, match=r"take another .* GiB in .*cache, and 9.31e-07 are free there; make room"):
        run(world, tmp_path, steps=1, cache=tmp_path / "cache")


def test_what_is_read_from_the_cache_is_no_map_of_a_file(tmp_path: Path) -> None:
    """A process may have some 65 000 of them."""
    Store(tmp_path, 0).put("key", {"x": torch.ones(3)})
    item = Store(tmp_path, 1e6).get("key")
    (tmp_path / "ke" / "key.safetensors").write_bytes(bytes(200))
    assert torch.equal(item["x"], torch.ones(3))


def test_pictures_are_read_while_others_are_encoded(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    seen: list[int] = []
    encode, look = Frozen.encode_latents, filler.read_picture

    def encode_later(self: Frozen, images: Sequence[Image.Image], size: int) -> list[Item]:
        deadline = time.monotonic() + 10
        while len(images) > 1 and len(read) <= AT_ONCE and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(len(read))
        return encode(self, images, size=size)

    monkeypatch.setattr(Frozen, "encode_latents", encode_later)
    monkeypatch.setattr(filler, "read_picture", lambda path: read.append(path) or look(path))
    run(world, tmp_path, steps=1)
    assert seen[1] > AT_ONCE


def test_what_is_held_out_follows_from_the_data_and_not_from_the_seed_or_its_order(tmp_path: Path) -> None:
    examples = [Example(Entry(f"{i}", tmp_path / f"{i}", "x"), f"{i * 7 % 40:02d}", "") for i in range(40)]
    divided = [divide(order, config(tmp_path, tmp_path, holdout=None, seed=seed))
               for order in (examples, examples[::-1]) for seed in (0, 1)]  # fmt: skip
    for trained, held in divided:
        assert (set(held), set(trained)) == (set(divided[0][1]), set(examples) - set(divided[0][1]))
        assert len(held) == 2
    assert divided[0][0] == [example for example in examples if example not in divided[0][1]]


@pytest.mark.parametrize("holdout", [None, 1, 4])
def test_a_picture_is_held_out_with_all_of_its_captions(holdout: int | None, tmp_path: Path) -> None:
    examples = [Example(Entry(f"{i}", tmp_path / f"{i}", f"{i % 3}"), f"{i // 3:02d}", "") for i in range(60)]
    trained, held = divide(examples, config(tmp_path, tmp_path, holdout=holdout))
    assert not {example.image_hash for example in trained} & {example.image_hash for example in held}
    assert len(held) == {None: 3, 1: 3, 4: 6}[holdout]
    assert len(trained) == 60 - len(held)


def test_views_of_one_person_are_on_one_side(tmp_path: Path) -> None:
    views = [(person, drawn, shown) for person in range(30) for drawn in range(3) for shown in range(3)]
    examples = [Example(Entry("", tmp_path, ""), f"{p:02d}{drawn}", f"{p:02d}{shown}") for p, drawn, shown in views]
    trained, held = divide(examples, config(tmp_path, tmp_path, holdout=None))
    people = [{example.reference_hash[:2] for example in side} for side in (trained, held)]
    assert not people[0] & people[1]
    assert len(held) == 18
    assert len(trained) == len(examples) - 18


def test_a_reference_that_all_share_keeps_nothing_from_being_held_out(tmp_path: Path) -> None:
    examples = [Example(Entry("", tmp_path, ""), f"{i:02d}", "hub") for i in range(60)]
    trained, held = divide(examples, config(tmp_path, tmp_path, holdout=None))
    assert (len(trained), len(held)) == (57, 3)


def test_samples_are_of_one_picture_each(tmp_path: Path) -> None:
    examples = [Example(Entry("", tmp_path, f"{i}"), f"{i // 3}", "") for i in range(9)]
    assert [example.entry.text for example in one_of_each(examples)] == ["0", "3", "6"]


def test_one_picture_with_many_captions_is_trained_on_or_a_sentence(tmp_path: Path) -> None:
    examples = [Example(Entry(f"{i}", tmp_path / "a", f"{i}"), "a", "") for i in range(40)]
    trained, held = divide(examples, config(tmp_path, tmp_path, holdout=None))
    assert len(trained) == len(held) == 40
    with pytest.raises(TrainingError, match=r"--holdout 2 leaves nothing .* 40 usable entries, of 1 pictures"):
        divide(examples, config(tmp_path, tmp_path, holdout=2))


@pytest.mark.parametrize("holdout", [None, 0, 1])
def test_a_run_that_holds_nothing_out_says_so(holdout: int | None, world: Path, tmp_path: Path) -> None:
    said: list[str] = []
    train(config(world, tmp_path, steps=1, holdout=holdout), said.append)
    assert any("No entry is kept for evaluation" in line for line in said) == (holdout != 1)
