"""The pocket model, loaded once for all tests of a process."""

from __future__ import annotations

import pytest

from pocket.studio import Studio


@pytest.fixture(scope="session")
def studio() -> Studio:
    """Nobody changes it."""
    return Studio()
