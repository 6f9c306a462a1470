"""A Python without the command line's packages, as the one that the WebUI is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]


COMMANDS = {
    "typer": ["inspect", "a.safetensors"],
    "diffusers": ["generate", "a", "--adapter", "b"],
    "torch": ["encode", "a.png", "b.safetensors", "--adapter", "c"],
}
"""A package -> a command that needs it, from the start or later."""


def run_without(package: str, *words: str) -> subprocess.CompletedProcess[str]:
    hidden = (
        f"import sys, runpy; sys.modules[{package!r}] = None; runpy.run_module('lib_ipadapter', run_name='__main__')"
    )
    command = [sys.executable, "-c", hidden, *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("package", COMMANDS)
def test_a_missing_package_is_one_sentence_that_says_where_it_is(package: str) -> None:
    done = run_without(package, *COMMANDS[package])
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert f"needs the package {package}" in done.stderr
    assert ".venv/bin/python" in done.stderr


def test_pictures_are_encoded_without_diffusers(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    done = run_without("diffusers", "encode", f"{tmp_path}/a.png", f"{tmp_path}/b.safetensors", "--adapter", "nowhere")
    assert (done.returncode, "There is no file nowhere" in done.stderr) == (2, True)
