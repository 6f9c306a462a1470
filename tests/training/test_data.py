"""What data may look like, and what is wrong with it is said before a step is made."""

from __future__ import annotations

import codecs
import json
import os
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.check import Report, examine
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.entries import read_entries
from lib_ipadapter.training.records import Problem

RECORDS = [
    {"image_file": "a.png", "text": "a thing"},
    {"image_file": "sub/b.png", "text": "another", "cond_image": "a.png"},
]


def picture(path: Path, colour: str = "red", size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def report(data: Path, *, thorough: bool = True, **more: object) -> Report:
    values: dict[str, object] = {"data": data, "resolution": 64, **more}
    return examine(TrainConfig(**values), thorough=thorough)  # pyright: ignore[reportArgumentType]


def as_jsonl(folder: Path) -> Path:
    (folder / "list.jsonl").write_text("\n".join(json.dumps(record) for record in RECORDS) + "\n\n")
    return folder / "list.jsonl"


def as_json(folder: Path) -> Path:
    (folder / "list.json").write_text(json.dumps(RECORDS))
    return folder / "list.json"


def test_what_a_run_draws_into_its_data_is_no_data(tmp_path: Path) -> None:
    output = tmp_path / "run"
    for path in (tmp_path / "a.png", output / "samples" / "00000001.png"):
        picture(path)
    good, bad = read_entries(tmp_path, output=output)
    assert ([entry.name for entry in good], bad) == (["a.png"], [])
    assert len(read_entries(tmp_path, output=tmp_path)[0]) == 2  # a run whose output is the data folder itself


@pytest.mark.parametrize("form", [as_jsonl, as_json])
def test_lists_name_pictures_captions_and_references(form, tmp_path: Path) -> None:
    entries, rejected = read_entries(form(tmp_path))
    assert [(e.name, e.text) for e in entries] == [("a.png", "a thing"), ("sub/b.png", "another")]
    assert [e.reference.name for e in entries] == ["a.png", "a.png"]
    assert entries[1].image == tmp_path.resolve() / "sub" / "b.png"
    assert not rejected


def test_a_folder_names_pictures_with_the_text_file_beside_them(tmp_path: Path) -> None:
    for name in ("a.png", "deep/b.JPG", "c.webp"):
        picture(tmp_path / name)
    (tmp_path / "a.txt").write_text(" a thing\n")
    (tmp_path / "deep" / "b.txt").write_text("another")
    (tmp_path / "note.txt").write_text("no picture")
    entries, _ = read_entries(tmp_path)
    assert [(e.name, e.text) for e in entries] == [("a.png", "a thing"), ("c.webp", ""), ("deep/b.JPG", "another")]


def test_the_mark_that_windows_puts_in_front_of_utf_8_is_no_text(tmp_path: Path) -> None:
    mark = "\N{ZERO WIDTH NO-BREAK SPACE}"
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text(f"{mark}a thing", encoding="utf-8")
    for form in (as_json, as_jsonl):
        (tmp_path / "lists").mkdir(exist_ok=True)
        data = form(tmp_path / "lists")
        data.write_text(mark + data.read_text(), encoding="utf-8")
        entries, rejected = read_entries(data)
        assert ([entry.name for entry in entries], rejected) == (["a.png", "sub/b.png"], [])
    assert [entry.text for entry in read_entries(tmp_path)[0]] == ["a thing"]


def test_pictures_may_lie_elsewhere_than_their_list(tmp_path: Path) -> None:
    (tmp_path / "lists").mkdir()
    entries, _ = read_entries(as_json(tmp_path / "lists"), tmp_path / "pictures")
    assert entries[0].image == tmp_path.resolve() / "pictures" / "a.png"


@pytest.mark.parametrize(
    "file", ["../secret.png", "link.png", "linked/secret.png", "/etc/passwd", "sub/../../secret.png"]
)
@pytest.mark.parametrize("role", ["image_file", "cond_image"])
def test_no_path_leaves_the_data_folder(file: str, role: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    picture(data / "a.png")
    secret = picture(tmp_path / "secret.png")
    (data / "link.png").symlink_to(secret)
    (data / "linked").symlink_to(tmp_path)
    (data / "list.json").write_text(json.dumps([{"image_file": "a.png", "text": "x", role: file}]))
    entries, rejected = read_entries(data / "list.json")
    assert not entries
    assert rejected[0].problem is Problem.OUTSIDE


def test_a_link_out_of_a_folder_of_pictures_is_not_followed(tmp_path: Path) -> None:
    picture(tmp_path / "data" / "a.png")
    (tmp_path / "data" / "link.png").symlink_to(picture(tmp_path / "secret.png"))
    (tmp_path / "secret.txt").write_text("a secret")
    (tmp_path / "data" / "a.txt").symlink_to(tmp_path / "secret.txt")
    entries, rejected = read_entries(tmp_path / "data")
    assert [(e.name, e.text) for e in entries] == [("a.png", "")]
    assert [str(r) for r in rejected] == ["link.png: outside the data folder (link.png)"]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", '"a.png"', '{"text": "x"}', '{"image_file": 3, "text": "x"}', '{"image_file": "a.png", "text": 3}',
     '{"image_file": "a.png", "text": "x", "cond_image": 1}', '{"image_file": "a\\u0000.png", "text": "x"}',
     '{"image_file": "a.png", "text": "smile \\ud83d"}', '{"image_file": "\\ud83d.png", "text": "x"}',
     '{"image_file": "a.png", "text": "x", "cond_image": "\\ud83d.png"}',
     pytest.param("[" * 100_000, id="nested"), pytest.param("1" * 5000, id="digits")],
)  # fmt: skip
def test_a_malformed_line_is_skipped_and_the_others_are_read(line: str, tmp_path: Path) -> None:
    (tmp_path / "list.jsonl").write_text(f'{line}\n{{"image_file": "a.png", "text": "x"}}\n')
    entries, rejected = read_entries(tmp_path / "list.jsonl")
    assert len(entries) == 1
    assert [r.problem for r in rejected] == [Problem.MALFORMED]
    str(rejected[0]).encode()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.json", "{", "is not JSON"),
        ("list.json", ' {"a.png": "a thing"}', r"must be a list of .*; it begins with '\{\"a\.png\": \"a thing\"\}'\."),
        pytest.param("list.json", "[" * 100_000, r"is not JSON \(line 1: Nested too deeply\)", id="nested"),
        ("list.json", "[]", "holds no entries"),
        pytest.param("list.json", "1" * 5000, r"is not JSON \(line 1: A number has too many digits\)", id="digits"),
        ("list.csv", "a,b", "no data that is known"),
        ("list.jsonl", b"\xff\xfe", "not text in UTF-8"),
        ("none.json", None, "There is no data"),
    ],
)
def test_data_that_is_none_is_a_sentence(name: str, content: str | bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(TrainingError, match=message):
        read_entries(tmp_path / name)


def test_a_list_that_lies_in_a_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="There is no data"):
        read_entries(picture(tmp_path / "a.png") / "list.json")


def test_a_caption_is_read_as_what_its_first_bytes_say_and_never_guessed(tmp_path: Path) -> None:
    for name, content in (
        ("utf-16", "a café".encode("utf-16")),
        ("utf-16-be", codecs.BOM_UTF16_BE + "a café".encode("utf-16-be")),
        ("utf-8", "a café".encode()),
        ("latin-1", "a café".encode("latin-1")),
    ):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_bytes(content)
    entries, rejected = read_entries(tmp_path)
    assert {entry.name: entry.text for entry in entries} == dict.fromkeys(
        ["utf-8.png", "utf-16.png", "utf-16-be.png"], "a café"
    )
    assert [str(r) for r in rejected] == ["latin-1.png: malformed (its caption is not UTF-8; save it as UTF-8)"]


def test_a_name_that_no_file_can_have_is_a_missing_one(tmp_path: Path) -> None:
    records = [{"image_file": picture(tmp_path / "a.png").name, "text": "x"}, {"image_file": "x" * 5000, "text": "x"}]
    (tmp_path / "list.json").write_text(json.dumps(records))
    assert [r.problem for r in report(tmp_path / "list.json").rejected] == [Problem.MISSING]


def test_a_file_that_vanishes_while_it_is_looked_at_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_and_take(path: Path, *_: object, **__: object) -> None:
        if path.name == "b.png":
            path.unlink()

    for name in ("a", "b"):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text(name)
    monkeypatch.setattr("lib_ipadapter.training.check.look_at", look_and_take)
    assert [str(r) for r in report(tmp_path).rejected] == ["b.png: missing (No such file or directory)"]


@pytest.fixture
def bad_data(tmp_path: Path) -> Path:
    """One good entry, and one of each kind that is not."""
    for name in ("good", "empty", "damaged", "copy"):
        picture(tmp_path / f"{name}.png")
        (tmp_path / f"{name}.txt").write_text("a thing")
    (tmp_path / "empty.txt").write_text("  ")
    picture(tmp_path / "damaged.png", size=(300, 300), colour="blue")
    whole = (tmp_path / "damaged.png").read_bytes()
    (tmp_path / "damaged.png").write_bytes(whole[: len(whole) // 2])
    picture(tmp_path / "tiny.png", size=(500, 31))
    (tmp_path / "tiny.txt").write_text("small")
    names = ("copy", "good", "empty", "damaged", "tiny", "absent")
    records = [{"image_file": f"{name}.png", "text": "" if name == "empty" else "a thing"} for name in names]
    (tmp_path / "list.json").write_text(json.dumps(records))
    return tmp_path / "list.json"


def test_each_problem_is_found_and_the_rest_is_kept(bad_data: Path) -> None:
    found = report(bad_data)
    assert [e.entry.name for e in found.examples] == ["copy.png"]
    assert {r.name: r.problem for r in found.rejected} == {
        "good.png": Problem.DUPLICATE,
        "empty.png": Problem.EMPTY_CAPTION,
        "damaged.png": Problem.CORRUPT,
        "tiny.png": Problem.TINY,
        "absent.png": Problem.MISSING,
    }
    assert str(found).startswith("1 usable entry; skipped: ")


def test_entries_without_caption_can_be_wanted(bad_data: Path) -> None:
    names = [e.entry.name for e in report(bad_data, empty_captions=True).examples]
    assert names == ["copy.png", "empty.png"]


def test_the_same_picture_with_another_caption_or_reference_is_no_duplicate(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png", "blue")
    records = [{"text": "x"}, {"text": "y"}, {"text": "x", "cond_image": "b.png"}]
    (tmp_path / "list.json").write_text(json.dumps([{"image_file": "a.png", **record} for record in records]))
    assert len(report(tmp_path / "list.json").examples) == 3


def test_a_damaged_reference_is_found_too(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    records = [{"image_file": "a.png", "text": "x"}, {"image_file": "a.png", "text": "x", "cond_image": "b.png"}]
    (tmp_path / "list.json").write_text(json.dumps(records))
    assert [r.problem for r in report(tmp_path / "list.json").rejected] == [Problem.CORRUPT]


def test_the_data_hash_is_that_of_contents_and_not_of_places(tmp_path: Path) -> None:
    hashes = []
    for folder, caption in (("one", "x"), ("two", "x"), ("three", "y")):
        picture(tmp_path / folder / "a.png")
        (tmp_path / folder / "a.txt").write_text(caption)
        hashes.append(report(tmp_path / folder).data_hash)
    assert hashes[0] == hashes[1] != hashes[2]


def test_check_prints_what_is_wrong_and_fails(bad_data: Path) -> None:
    result = CliRunner().invoke(app, ["train", "--check", "--data", str(bad_data), "--resolution", "64"])
    assert result.exit_code == 2
    assert "tiny.png: tiny (500 x 31, shorter side below 32)" in result.stdout
    assert "5 entries would be skipped" in result.stderr


def test_check_prints_names_that_are_not_utf_8(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a thing")
    picture(tmp_path / "b.png").rename(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))
    result = CliRunner().invoke(app, ["train", "--check", "--data", str(tmp_path), "--resolution", "64"])
    assert result.exit_code == 2
    assert "caf\\udce9.png: empty caption" in result.stdout


def test_check_of_good_data_succeeds_without_any_model(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "a.txt").write_text("a thing")
    result = CliRunner().invoke(app, ["train", "--check", "--data", str(tmp_path), "--resolution", "64"])
    assert (result.exit_code, result.stdout.splitlines()[-1]) == (0, "1 usable entry; skipped: none")


def test_nothing_usable_is_a_sentence(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    with pytest.raises(TrainingError, match=r"nothing to train on: 0 usable .*1 empty caption.*--empty-captions takes"):
        report(tmp_path)
