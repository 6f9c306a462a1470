"""Models are written once and copied for the tests that change them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.session.fake_host import FakeHost, fill


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("models"))


@pytest.fixture
def host(models: Path) -> FakeHost:
    return FakeHost(models)


@pytest.fixture
def own_host(models: Path, tmp_path: Path) -> FakeHost:
    """Its files may be changed."""
    return FakeHost(Path(shutil.copytree(models, tmp_path / "models")))
