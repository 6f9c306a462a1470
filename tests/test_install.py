"""``install.py``: it says what is missing, and touches nothing."""

from __future__ import annotations

import runpy
import subprocess
import sys
from importlib import util
from pathlib import Path

import pytest

INSTALL = Path(__file__).parents[1] / "install.py"


def test_it_is_silent_where_all_is_there_and_imports_nothing_heavy() -> None:
    program = (
        f"import runpy, sys; runpy.run_path({str(INSTALL)!r}); print([n for n in ('torch', 'pip') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_what_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda name: None if name == "transformers" else found(name))
    runpy.run_path(str(INSTALL))
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "lacks transformers;" in said


def test_it_never_installs() -> None:
    source = INSTALL.read_text(encoding="utf-8")
    assert not any(word in source for word in ("subprocess", "run_pip", "launch", "ensurepip"))
