"""insightface is asked for what it has, in its own terms; without it a sentence says what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.face import Face
from lib_ipadapter.model.insight import SIZES, InsightFace

RED = Image.new("RGB", (30, 20), (255, 0, 0))


class FaceAnalysis:
    """insightface 0.7's class as far as it is used: `det_model` ignores a second `prepare`."""

    made: dict[str, Any]
    finds_at: int

    def __init__(self, name: str, root: str, allowed_modules: list[str], providers: list[str]) -> None:
        type(self).made = {"name": name, "root": root, "modules": set(allowed_modules), "providers": providers}
        self.det_model = SimpleNamespace(input_size=None)
        self.seen: list[tuple[int, int]] = []
        print("find model: ...")

    def prepare(self, ctx_id: int, det_thresh: float = 0.5, det_size: tuple[int, int] = (640, 640)) -> None:
        assert self.det_model.input_size is None
        self.made["ctx_id"] = ctx_id
        self.det_model.input_size = det_size

    def get(self, img: np.ndarray, max_num: int = 0) -> list[Any]:
        assert img.flags["C_CONTIGUOUS"]
        assert img.dtype == np.uint8
        self.made["pixel"] = tuple(img[0, 0])
        self.seen.append(self.det_model.input_size)
        if self.det_model.input_size != (self.finds_at, self.finds_at):
            return []
        box, kps = np.array([1, 2, 11, 22], np.float32), np.arange(10, dtype=np.float32).reshape(5, 2)
        raw = np.full(512, 2.0, np.float32)
        normed = raw / np.linalg.norm(raw)
        return [SimpleNamespace(bbox=box, kps=kps, embedding=raw, normed_embedding=normed, det_score=0.9)]


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ModuleType("insightface.app")
    app.FaceAnalysis = FaceAnalysis  # pyright: ignore[reportAttributeAccessIssue]
    monkeypatch.setitem(sys.modules, "insightface", ModuleType("insightface"))
    monkeypatch.setitem(sys.modules, "insightface.app", app)


def models(root: Path) -> Path:
    (root / "models" / "buffalo_l").mkdir(parents=True)
    (root / "models" / "buffalo_l" / "w600k_r50.onnx").touch()
    return root


@pytest.mark.usefixtures("installed")
def test_it_is_asked_for_its_models_and_given_bgr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(FaceAnalysis, "finds_at", 640, raising=False)
    root = models(tmp_path / "second")
    found = InsightFace.open([tmp_path / "first", root]).faces(RED)
    assert FaceAnalysis.made == {
        "name": "buffalo_l",
        "root": str(root),
        "modules": {"detection", "recognition"},
        "providers": ["CPUExecutionProvider"],
        "ctx_id": -1,
        "pixel": (0, 0, 255),
    }
    landmarks = ((0.0, 1.0), (2.0, 3.0), (4.0, 5.0), (6.0, 7.0), (8.0, 9.0))
    assert found == [Face(box=(1.0, 2.0, 11.0, 22.0), landmarks=landmarks, embedding=(2.0,) * 512)]
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("finds_at", [320, 0])
def test_smaller_sizes_are_tried_until_a_face_is_found(
    finds_at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceAnalysis, "finds_at", finds_at, raising=False)
    analyser = InsightFace.open([models(tmp_path)])
    for _ in range(2):  # the second picture begins at the largest size again
        analyser.analysis.seen.clear()
        assert len(analyser.faces(RED)) == (finds_at > 0)
        tried = [size for size in SIZES if size >= finds_at]
        assert analyser.analysis.seen == [(size, size) for size in tried]
    assert SIZES[0] == 640


def test_without_it_one_sentence_says_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "insightface", None)
    with pytest.raises(UnitError, match=r"is not installed .*`python -m pip install insightface onnxruntime`") as said:
        InsightFace.open([models(tmp_path)])
    assert "ready-made embedding in the field `face`." in str(said.value)
    assert "\n" not in str(said.value)


@pytest.mark.usefixtures("installed")
def test_without_its_models_nothing_is_fetched_and_the_sentence_says_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceAnalysis, "__init__", lambda *_, **__: pytest.fail("would have fetched them"))
    with pytest.raises(UnitError, match="buffalo_l are not there: unpack") as said:
        InsightFace.open([tmp_path / "own", tmp_path / "other", tmp_path / "home"])
    assert str(tmp_path / "own" / "models" / "buffalo_l") in str(said.value)
    assert str(tmp_path / "home" / "models" / "buffalo_l") in str(said.value)


@pytest.mark.usefixtures("installed")
def test_damaged_models_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("INVALID_PROTOBUF\nmore")

    monkeypatch.setattr(FaceAnalysis, "__init__", fail)
    with pytest.raises(UnitError, match=r"cannot open its models in .*buffalo_l \(INVALID_PROTOBUF\); download"):
        InsightFace.open([models(tmp_path)])
