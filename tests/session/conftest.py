"""Models are written once and copied for the tests that change them."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from lib_ipadapter.model import encoder_sizes
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session import library
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


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often files were read and pictures encoded."""
    counted: Counter[str] = Counter()

    def count(owner: object, name: str, what: str) -> None:
        original = getattr(owner, name)

        def counting(*args: object, **kwargs: object) -> object:
            counted[what] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counting)

    count(ImageEncoder, "encode", "encoded")
    count(ImageEncoder, "encode_zeros", "zeros")
    count(ImageEncoder, "read", "encoder")
    count(IPAdapter, "read", "adapter")
    count(library, "identify", "header")
    count(encoder_sizes, "read_sizes", "sizes")
    return counted
