"""The field for further pictures opens what was uploaded, and no other file of the server."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest

from lib_ipadapter.webui import compat

if not compat.IS_OLD:
    pytest.skip("later gradios look themselves which file a page may name", allow_module_level=True)

from lib_ipadapter.webui.uploads import UploadedFiles, is_uploaded


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Gradio's folder, with one file in it and a secret beside it."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads/0123").mkdir(parents=True)
    (tmp_path / "uploads/0123/cat.png").write_bytes(b"cat")
    (tmp_path / "secret.png").write_bytes(b"secret")
    return tmp_path / "uploads"


def test_what_was_uploaded_is_opened_and_what_leads_out_of_there_is_not(uploads: Path) -> None:
    (uploads / "link.png").symlink_to(uploads.parent / "secret.png")
    assert is_uploaded(str(uploads / "0123/cat.png"))
    for name in (uploads.parent / "secret.png", uploads / "../secret.png", uploads / "link.png", "/etc/passwd"):
        assert not is_uploaded(str(name))


def test_a_file_that_no_page_has_uploaded_is_refused_before_it_is_opened(uploads: Path) -> None:
    secret = {"name": str(uploads.parent / "secret.png"), "data": None, "is_file": True}
    field = UploadedFiles(file_count="multiple", type="binary")
    for given in (secret, [secret], [{**secret, "name": str(uploads / "0123/cat.png")}, secret]):
        with pytest.raises(gr.Error, match="not uploaded"):
            field.preprocess(given)
    assert field.preprocess(None) is None


def test_the_panels_own_field_hands_over_what_was_uploaded(uploads: Path) -> None:
    with gr.Blocks():
        field = compat.pictures_input()
    assert isinstance(field, UploadedFiles)
    assert field.preprocess([{"name": str(uploads / "0123/cat.png"), "data": None, "is_file": True}]) == [b"cat"]
    assert field.preprocess([{"name": "cat.png", "data": "data:image/png;base64,Y2F0"}]) == [b"cat"]


def test_the_front_end_knows_the_field() -> None:
    with gr.Blocks() as blocks:
        compat.pictures_input(elem_id="further")
        UploadedFiles(elem_id="ours")
    assert [component["type"] for component in blocks.get_config_file()["components"]] == ["file", "file"]
