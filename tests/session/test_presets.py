"""Presets: what is saved under a name is what is loaded, and a file from a stranger does no harm."""

from __future__ import annotations

import errno
import json
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session import presets as module
from lib_ipadapter.session.presets import LONGEST_NAME, SAVED, Presets, checked_name, file_name
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import PICTURES

SETTINGS = {
    "model": "my, model: 😀",
    "scale": 1.3,
    "start": 0.25,
    "crop": "tiles",
    "background": "#102030",
    "face": "ada",
    "embeds": "dusk",
}
HOSTILE = {
    "empty": b"",
    "no JSON": b"{",
    "not UTF-8": b"\xff\xfe\xfa",
    "deep": b"[" * 100_000,
    "a list": b"[]",
    "no unit": b'{"name": "a"}',
    "no name": b'{"unit": {}}',
    "a name of nothing": b'{"name": "\\u0000", "unit": {}}',
    "too large": b'{"name": "a", "unit": {"model": "' + b"x" * module.MOST_BYTES + b'"}}',
}


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(tmp_path / "not" / "there yet")


def test_everything_but_pictures_and_being_enabled_is_saved() -> None:
    left_out = {field.name for field in FIELDS} - {field.name for field in SAVED}
    assert left_out == {"enabled", *(field.name for field in FIELDS if field.type in PICTURES)}


def test_each_file_is_read_once_and_one_that_vanishes_meanwhile_is_left_out(
    presets: Presets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("b", "A", "gone"):
        presets.save(name, Unit.parse(SETTINGS))
    gone = presets._find("gone").path
    reads: list[Path] = []
    original = module._read

    def read(path: Path) -> dict[str, object]:
        reads.append(path)
        gone.unlink(missing_ok=True)
        return original(path)

    monkeypatch.setattr(module, "_read", read)
    found = presets.load_all()
    assert list(found) == ["A", "b"]
    assert found["A"]["scale"] == SETTINGS["scale"]
    assert len(reads) == 3
    assert presets.load("b") == found["b"]
    assert len(reads) == 3 + 2


def test_what_is_saved_is_loaded_and_parsed_again_is_the_same_unit(presets: Presets) -> None:
    unit = Unit.parse(SETTINGS)
    presets.save("mine", unit)
    found = presets.load("mine")
    assert {field.name for field in SAVED} == set(found)
    assert Unit.parse(found) == unit


def test_no_picture_and_no_face_embedding_is_written(presets: Presets) -> None:
    presets.save("mine", Unit.parse({"image": Image.new("RGB", (4, 4)), "face": torch.ones(512).tolist()}))
    (file,) = presets.folder.iterdir()
    assert json.loads(file.read_text())["unit"].keys().isdisjoint({"image", "image_mask", "enabled"})
    assert presets.load("mine")["face"] is None
    assert file.stat().st_size < 2000


NAMES = [
    "portrait",
    "a/b\\c",
    "..",
    "con",
    "👨‍👩‍👧 family",
    "名前",
    "é",
    "a" * LONGEST_NAME,
    "<b>",
    "x.json",
    "quote \" and '",
]


def test_any_name_is_kept_and_its_file_stays_in_the_folder(presets: Presets) -> None:
    for number, name in enumerate(NAMES):
        presets.save(name, Unit(model=f"m{number}"))
    assert presets.names() == sorted(NAMES, key=str.casefold)
    assert [presets.load(name)["model"] for name in NAMES] == [f"m{number}" for number in range(len(NAMES))]
    assert {file.suffix for file in presets.folder.iterdir()} == {".json"}
    assert len(list(presets.folder.iterdir())) == len(NAMES)


@given(st.text(min_size=1, max_size=LONGEST_NAME), st.text(min_size=1, max_size=LONGEST_NAME))
def test_file_names_are_safe_and_differ_where_names_do(one: str, other: str) -> None:
    names = []
    for text in (one, other):
        try:
            names.append(checked_name(text))
        except UnitError:
            return
    files = [file_name(name) for name in names]
    assert all(set(file) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.") and len(file) < 80 for file in files)
    assert (files[0] == files[1]) == (names[0] == names[1])


@pytest.mark.parametrize("name", ["", "  ", "\n", "a\x00b", "\ud800", "x" * (LONGEST_NAME + 1), None, 3])
def test_what_is_no_name_is_refused(name: object, presets: Presets) -> None:
    with pytest.raises(UnitError, match="needs a name"):
        presets.save(name, Unit())  # pyright: ignore[reportArgumentType]
    assert not presets.folder.exists()


def test_saving_again_replaces_and_deleting_forgets(presets: Presets) -> None:
    for scale in (0.5, 0.75):
        presets.save("mine", Unit(scale=scale))
    assert presets.names() == ["mine"]
    assert presets.load(" mine ")["scale"] == 0.75
    presets.delete("mine")
    assert presets.names() == []
    for act in (presets.load, presets.delete):
        with pytest.raises(UnitError, match="no preset called 'mine'"):
            act("mine")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_that_is_no_preset_is_ignored_with_a_sentence(
    kind: str, presets: Presets, caplog: pytest.LogCaptureFixture
) -> None:
    presets.save("good", Unit())
    (presets.folder / "bad.json").write_bytes(HOSTILE[kind])
    assert presets.names() == ["good"]
    assert len(caplog.records) == 1
    assert "\n" not in caplog.text.strip()


def test_of_a_foreign_preset_only_what_makes_sense_is_taken(presets: Presets, caplog: pytest.LogCaptureFixture) -> None:
    foreign = {
        "scale": 9,
        "start": 0.5,
        "crop": ["x"],
        "image": "/etc/passwd",
        "enabled": True,
        "weight": 1,
        "kind": None,
    }
    presets.folder.mkdir(parents=True)
    (presets.folder / "x.json").write_text(json.dumps({"name": "x", "unit": foreign}))
    assert presets.load("x") == {"start": 0.5}
    assert sum("left out" in record.getMessage() for record in caplog.records) == 3


def test_one_that_cannot_be_deleted_is_a_sentence_and_stays(presets: Presets, monkeypatch: pytest.MonkeyPatch) -> None:
    presets.save("mine", Unit.parse(SETTINGS))

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "a place")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(
        UnitError, match=r"preset 'mine' cannot be deleted \(Permission denied\); .*mine-.*json"
    ) as said:
        presets.delete(" mine")
    assert str(presets.folder) not in str(said.value)
    assert presets.names() == ["mine"]


def test_a_file_is_there_whole_or_not_at_all(presets: Presets, monkeypatch: pytest.MonkeyPatch) -> None:
    presets.save("mine", Unit(scale=0.5))

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(UnitError, match="cannot be written"):
        presets.save("mine", Unit(scale=0.75))
    assert presets.load("mine")["scale"] == 0.5
    assert len(list(presets.folder.iterdir())) == 1


def test_readers_see_no_half_written_preset(presets: Presets) -> None:
    presets.save("mine", Unit(scale=0.5))
    done = threading.Event()

    def write() -> None:
        for number in range(50):
            presets.save("mine", Unit(scale=number / 50))
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        assert 0 <= presets.load("mine")["scale"] < 1
    thread.join()
