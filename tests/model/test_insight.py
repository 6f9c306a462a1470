"""insightface is asked for what it has, in its own terms; without it a sentence says what to do."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.errors import UnitError, headline
from lib_ipadapter.model.face import Face
from lib_ipadapter.model.insight import SIZES, InsightFace

RED = Image.new("RGB", (30, 20), (255, 0, 0))


class Detector:
    """Its `input_size` is what `prepare` has set; what another `prepare` does differs from version to version."""

    def __init__(self, made: dict[str, Any], finds_at: int) -> None:
        self.made = made
        self.finds_at = finds_at
        self.input_size: tuple[int, int] | None = None
        self.seen: list[tuple[int, int]] = []

    def detect(
        self, img: np.ndarray, input_size: tuple[int, int] | None = None, max_num: int = 0, metric: str = "default"
    ) -> tuple[np.ndarray, np.ndarray]:
        assert img.flags["C_CONTIGUOUS"]
        assert img.dtype == np.uint8
        side = (input_size or self.input_size or (0, 0))[0]
        assert side * min(img.shape[:2]) // max(img.shape[:2]) > 0  # OpenCV says so, of a picture scaled to nothing
        self.made["pixel"] = tuple(img[0, 0])
        self.seen.append((side, side))
        found = side == self.finds_at
        boxes, points = [[1, 2, 11, 22, 0.9]] * found, [range(10)] * found
        return np.array(boxes, np.float32).reshape(-1, 5), np.array(points, np.float32).reshape(-1, 5, 2)


class Recogniser:
    """Its embeddings are not of length 1."""

    def get(self, img: np.ndarray, face: Any) -> np.ndarray:
        assert face.kps.shape == (5, 2)
        face.embedding = np.full(512, 2.0, np.float32)
        return face.embedding


class FaceAnalysis:
    """insightface's class as far as it is used, which is the same in 0.7 and 2.1."""

    made: dict[str, Any]
    finds_at: int = 640
    tasks = ("detection", "recognition")
    """Of the models that are in the folder."""

    def __init__(self, name: str, root: str, allowed_modules: list[str], providers: list[str]) -> None:
        made = {"name": name, "root": root, "modules": set(allowed_modules), "providers": providers}
        type(self).made = made
        every = {"detection": Detector(made, self.finds_at), "recognition": Recogniser()}
        self.models = {task: every[task] for task in self.tasks if task in allowed_modules}
        if "detection" not in self.models:
            raise AssertionError
        self.det_model: Any = self.models["detection"]
        print("find model: ...")

    def prepare(self, ctx_id: int, det_thresh: float = 0.5, det_size: tuple[int, int] = (640, 640)) -> None:
        self.made["ctx_id"] = ctx_id
        self.det_model.input_size = det_size


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
def test_it_is_asked_for_its_models_and_given_bgr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    monkeypatch.setattr(FaceAnalysis, "finds_at", finds_at)
    analyser = InsightFace.open([models(tmp_path)])
    for _ in range(2):  # the second picture begins at the largest size again
        analyser.analysis.det_model.seen.clear()
        assert len(analyser.faces(RED)) == (finds_at > 0)
        tried = [size for size in SIZES if size >= finds_at]
        assert analyser.analysis.det_model.seen == [(size, size) for size in tried]
    assert SIZES[0] == 640


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("size", [(2000, 10), (9, 1300)])
def test_in_a_picture_too_thin_to_be_scaled_there_is_no_face(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceAnalysis, "finds_at", 128)
    analyser = InsightFace.open([models(tmp_path)])
    assert analyser.faces(Image.new("RGB", size)) == []
    assert analyser.analysis.det_model.seen[0] == (640, 640)


@pytest.mark.parametrize(("numpy", "bounds"), [("1.26.2", ' "onnx<1.17" "numpy<2" "protobuf<4"'), ("2.4.6", "")])
def test_without_it_one_sentence_says_the_command(
    numpy: str, bounds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "insightface", None)
    monkeypatch.setattr(np, "__version__", numpy)
    with pytest.raises(UnitError, match=r"is not installed .*`python -m pip install insightface onnxr") as said:
        InsightFace.open([models(tmp_path)])
    assert f"insightface onnxruntime{bounds}` with the Python that this runs in" in str(said.value)
    assert "ready-made embedding in the field `face`." in str(said.value)
    assert "\n" not in str(said.value)


class BuiltForAnotherNumpy:
    """Finds insightface, and fails as its compiled part does."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "insightface":
            raise ValueError("numpy.dtype size changed, may indicate binary incompatibility\nmore")


def test_what_cannot_be_imported_is_a_sentence_that_says_how_to_mend_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("insightface", "insightface.app"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [BuiltForAnotherNumpy(), *sys.meta_path])
    with pytest.raises(UnitError, match=r"cannot be imported \(numpy.dtype size .*--force-reinstall") as said:
        InsightFace.open([models(tmp_path)])
    assert "\n" not in str(said.value)


@pytest.mark.usefixtures("installed")
def test_without_its_models_nothing_is_fetched_and_the_sentence_says_where_they_belong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceAnalysis, "__init__", lambda *_, **__: pytest.fail("would have fetched them"))
    with pytest.raises(UnitError, match="buffalo_l are not there; unpack") as said:
        InsightFace.open([tmp_path / "own", tmp_path / "other", tmp_path / "home"])
    assert str(tmp_path) not in headline(str(said.value)), "a picture's parameters have this much of it"
    assert str(tmp_path / "own" / "models" / "buffalo_l") in str(said.value)
    assert str(tmp_path / "home" / "models" / "buffalo_l") in str(said.value)


@pytest.mark.usefixtures("installed")
def test_damaged_models_are_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(f"Load model from {tmp_path}/models/buffalo_l/a.onnx failed: INVALID_PROTOBUF\nmore")

    monkeypatch.setattr(FaceAnalysis, "__init__", fail)
    wanted = r"its models buffalo_l \(Load model from buffalo_l/a.onnx failed: INVALID_PROTOBUF\); download"
    with pytest.raises(UnitError, match=wanted) as said:
        InsightFace.open([models(tmp_path)])
    assert str(said.value).endswith(f"download them again into {tmp_path / 'models' / 'buffalo_l'}.")
    assert str(tmp_path) not in headline(str(said.value))


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(("there", "missing"), [("detection", "recognition"), ("recognition", "detection")])
def test_a_pack_that_lacks_a_model_is_a_sentence(
    there: str, missing: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FaceAnalysis, "tasks", (there,))
    with pytest.raises(UnitError, match=rf"buffalo_l \(there is none for {missing}\); download them again"):
        InsightFace.open([models(tmp_path)])
