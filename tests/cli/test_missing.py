"""A Python without the command line's packages, as the one that the WebUI is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_a_missing_package_is_one_sentence_that_says_where_it_is() -> None:
    hidden = "import sys, runpy; sys.modules['typer'] = None; runpy.run_module('lib_ipadapter', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", hidden], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.strip().count("\n") == 0
    assert "needs the package typer" in done.stderr
    assert ".venv/bin/python" in done.stderr
