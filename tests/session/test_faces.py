"""A face may be brought as numbers, as base64 or by the name of a saved file, and is the same face."""

from __future__ import annotations

import array
import base64
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError, UnitError
from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.model.face import normed
from lib_ipadapter.model.face_file import write_face
from lib_ipadapter.model.variant import FaceFeature
from lib_ipadapter.session.faces import GivenFace, find_face, list_faces
from lib_ipadapter.session.tokens import one_of

RAW = torch.randn(3, 512, generator=torch.Generator().manual_seed(0)) * 20


def given(value: object) -> GivenFace:
    found = GivenFace.parse(value)
    assert found is not None
    return found


def encoded(rows: torch.Tensor) -> str:
    return base64.b64encode(array.array("f", rows.flatten().tolist()).tobytes()).decode()


FORMS = {
    "lists": RAW.tolist(),
    "base64": encoded(RAW),
    "wrapped base64": "\n".join(encoded(RAW)[i : i + 76] for i in range(0, len(encoded(RAW)), 76)),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_the_same_face(form: object) -> None:
    assert torch.equal(given(form).read([]), RAW)
    assert given(form) == given(RAW.tolist())
    assert given(form).label == given(RAW.tolist()).label


def test_one_face_needs_no_list_of_lists() -> None:
    assert given(RAW[0].tolist()) == given(RAW[:1].tolist()) == given(encoded(RAW[:1]))


def test_other_faces_have_other_labels_and_no_label_holds_the_numbers() -> None:
    labels = {given(row.tolist()).label for row in RAW}
    assert len(labels) == 3
    assert all(len(label) == 12 for label in labels)
    assert "values" not in repr(given(RAW.tolist()))


@pytest.mark.parametrize("nothing", [None, "", "None", " ", "\n None ", " " * 300])
def test_nothing_is_no_face(nothing: object) -> None:
    assert GivenFace.parse(nothing) is None


@pytest.mark.parametrize("name", ["Ada", "ada.safetensors", "people/ADA", "people\\ada"])
def test_a_saved_face_is_found_by_any_of_its_spellings(name: str, tmp_path: Path) -> None:
    write_face(tmp_path / "people" / "ada.safetensors", RAW)
    (tmp_path / "readme.txt").touch()
    assert torch.equal(given(name).read([tmp_path]), RAW)


def test_safetensors_and_numpy_files_are_listed_and_nothing_else(tmp_path: Path) -> None:
    for name in ("b.npy", "a.safetensors", "c.png", "d.bin"):
        (tmp_path / name).touch()
    assert [file.name for file in list_faces([tmp_path, tmp_path / "missing"])] == ["a", "b"]
    np.save(tmp_path / "b.npy", RAW.numpy())
    assert torch.equal(given("b").read([tmp_path]), RAW)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "~/secret.npy", "inside/../../secret.npy"])
def test_a_path_is_no_name(path: str, tmp_path: Path) -> None:
    write_face(tmp_path / "secret.npy", RAW)
    (tmp_path / "faces").mkdir()
    with pytest.raises(UnitError, match="There is no saved face called"):
        given(path).read([tmp_path / "faces"])


def test_a_missing_face_is_one_sentence_that_says_what_is_there_where_and_what_to_do(tmp_path: Path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}.npy").touch()
    with pytest.raises(UnitError, match=r"called 'me'; found 00, 01, .* \.\.\. in .*; make one with `python") as said:
        find_face("me", [tmp_path])
    assert str(tmp_path) in str(said.value)
    assert len(str(said.value)) < 300 + len(str(tmp_path))


def test_a_file_that_holds_no_face_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_text("<html>")
    with pytest.raises(CheckpointError, match="web page"):
        given("a").read([tmp_path])


def test_too_much_base64_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base64, "b64decode", lambda *_, **__: pytest.fail("was decoded"))
    with pytest.raises(UnitError, match="limit is 16 faces"):
        GivenFace.parse("AAAA" * 20000)


def averaged(rows: Tensor, feature: FaceFeature) -> Tensor:
    known = [(normed(raw) if feature is FaceFeature.NORMED else raw,) for raw in rows.split(1)]
    (found,) = one_of(known, Combination.AVERAGE, [1.0] * len(known), feature)
    return found


def test_an_average_of_normed_faces_is_a_face_of_length_one() -> None:
    """Each counts alike, however long its raw embedding is."""
    units = RAW / RAW.norm(dim=-1, keepdim=True)
    mean = units.sum(0)
    longer = RAW * torch.tensor([[1.0], [5.0], [0.1]])
    for rows in (RAW, longer):
        torch.testing.assert_close(averaged(rows, FaceFeature.NORMED), (mean / mean.norm())[None])


def test_raw_faces_are_averaged_as_they_are() -> None:
    torch.testing.assert_close(averaged(RAW, FaceFeature.RAW), RAW.mean(0, keepdim=True))


@pytest.mark.parametrize("feature", FaceFeature)
def test_one_face_is_its_own_average(feature: FaceFeature) -> None:
    one = averaged(RAW[:1], feature)
    wanted = RAW[:1] / RAW[:1].norm() if feature is FaceFeature.NORMED else RAW[:1]
    torch.testing.assert_close(one, wanted)
