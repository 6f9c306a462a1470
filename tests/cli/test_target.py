"""Whoever forgets the file to write loses none."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    return [str(path) for path in paths]


@pytest.mark.parametrize("command", [["encode", "--adapter", "a.safetensors"], ["face"]], ids=["encode", "face"])
def test_a_picture_in_the_place_of_the_target_stays(command: list[str], pictures: list[str]) -> None:
    result = CliRunner().invoke(app, [*command, *pictures])
    assert result.exit_code == 2
    assert "does not end with .safetensors" in " ".join(result.stderr.split())
    assert Image.open(pictures[-1]).size == (8, 8)


@pytest.mark.parametrize("command", [["encode", "--adapter", "a.safetensors"], ["face"]], ids=["encode", "face"])
def test_a_file_is_written_over_only_if_that_is_said(command: list[str], pictures: list[str], tmp_path: Path) -> None:
    there = tmp_path / "there.safetensors"
    there.write_bytes(b"dear")
    result = CliRunner().invoke(app, [*command, *pictures, str(there)])
    assert (result.exit_code, "is there already" in result.stderr) == (2, True)
    forced = CliRunner().invoke(app, [*command, *pictures, str(there), "--force"])
    assert "is there already" not in forced.stderr
