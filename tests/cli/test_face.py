"""``face``: faces in pictures become one small file, or a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.model.face_file import read_face
from lib_ipadapter.model.insight import InsightFace
from tests.model.faces import FakeAnalyser, embedding, face, portrait


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two, each of one face."""
    monkeypatch.setattr(InsightFace, "open", lambda *_, **__: FakeAnalyser([face(3)]))
    paths = [tmp_path / f"{name}.png" for name in ("one", "two")]
    for path in paths:
        portrait(face(3)).save(path)
    return paths


def test_a_face_from_each_picture_is_saved_as_it_is(pictures: list[Path], tmp_path: Path) -> None:
    target, crop = tmp_path / "ada.safetensors", tmp_path / "crop.png"
    result = CliRunner().invoke(app, ["face", *map(str, pictures), str(target), "--crop", str(crop)])
    assert result.exit_code == 0, result.output
    assert "2 faces" in result.stdout
    torch.testing.assert_close(read_face(target), torch.tensor([embedding(3)] * 2))
    assert crop.is_file()


@pytest.mark.parametrize(("name", "said"), [("one.png", "is there already"), ("crop.jpg", "does not end with .png")])
def test_a_crop_costs_no_picture_and_is_what_its_name_says(
    name: str, said: str, pictures: list[Path], tmp_path: Path
) -> None:
    before = pictures[0].read_bytes()
    target = tmp_path / "ada.safetensors"
    result = CliRunner().invoke(app, ["face", *map(str, pictures), str(target), "--crop", str(tmp_path / name)])
    assert (result.exit_code, said in result.stderr) == (2, True)
    assert pictures[0].read_bytes() == before
    assert not target.exists()


def test_a_face_that_is_not_there_is_a_sentence_that_names_the_picture(pictures: list[Path], tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["face", str(pictures[0]), str(tmp_path / "ada.safetensors"), "--index", "4"])
    assert result.exit_code == 2
    assert result.stderr.startswith("one.png: ")
    assert not (tmp_path / "ada.safetensors").exists()
