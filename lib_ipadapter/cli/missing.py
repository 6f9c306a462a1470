"""What is said where a package is missing. Imports none itself."""

from __future__ import annotations


def missing(error: ModuleNotFoundError) -> str:
    """A sentence that says where the package is."""
    return (
        f"The command line needs the package {error.name}, which this Python does not have;"
        " run `make demo` once and take .venv/bin/python, or install requirements/cli.txt (for `train` also train.txt)."
    )
