"""``encode`` writes a file that stands for its pictures; what it cannot use is one line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.model.prompt_file import SavedPrompt
from lib_ipadapter.model.variant import Kind
from tests.models import save_adapter, tiny_adapter, tiny_encoder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    save_adapter(tiny_adapter(Kind.BASE), tmp_path / "base.safetensors")
    tiny_encoder().save_pretrained(tmp_path / "encoder", safe_serialization=True)
    for number, colour in enumerate(("red", "blue")):
        Image.new("RGB", (20, 20), colour).save(tmp_path / f"{number}.png")
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--device", "cpu"])


def test_pictures_become_a_file_for_their_adapter(files: Path) -> None:
    pictures = [str(files / f"{number}.png") for number in range(2)]
    options = ["--adapter", str(files / "base.safetensors"), "--encoder", str(files / "encoder")]
    out = files / "out" / "dusk.safetensors"
    result = run("encode", *pictures, str(out), *options, "--combine", "batch")
    assert (result.exit_code, "2 x 4 tokens 48 wide, for base.safetensors" in result.stdout) == (0, True)
    prompt = SavedPrompt.parse(out.read_bytes(), "")
    assert list(prompt.embeds.cond.shape) == [2, 4, 48]
    assert prompt.adapter == "base"


def test_the_kind_that_is_asked_for_can_be_said(files: Path) -> None:
    save_file(tiny_adapter(Kind.FACEID_PLUS).tensors(), files / "mine.safetensors")
    options = ["--adapter", str(files / "mine.safetensors"), "--encoder", str(files / "encoder")]
    asked = run("encode", str(files / "0.png"), str(files / "o.safetensors"), *options)
    assert "or give --kind faceid-plus or faceid-plusv2." in " ".join(asked.stderr.split())
    told = run("encode", str(files / "0.png"), str(files / "o.safetensors"), *options, "--kind", "faceid-plus")
    assert re.search("insightface|No face", told.stderr), "it is known what it is, and what is lacking is a face"


@pytest.mark.parametrize("command", [["encode", "--adapter", "a.safetensors"], ["face"]])
def test_a_picture_or_a_file_to_write_that_was_forgotten_is_asked_for(command: list[str]) -> None:
    verb, *options = command
    for only in ("cat.png", "cat.safetensors"):
        asked = CliRunner().invoke(app, [verb, only, *options])
        assert (asked.exit_code, "Missing argument 'pictures" in asked.stderr) == (2, True)


def test_what_cannot_be_used_is_one_line(files: Path) -> None:
    where = [str(files / "0.png"), str(files / "o.safetensors")]
    wrong = run("encode", *where, "--adapter", str(files / "base.safetensors"))
    assert (wrong.exit_code, "name it by --encoder" in wrong.stderr) == (2, True)
