"""``inspect``: true, quick, and never a traceback."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from lib_ipadapter.cli.app import app
from lib_ipadapter.cli.inspect import ABOUT
from lib_ipadapter.model.variant import Kind
from tests.models import save_adapter, tiny_adapter, tiny_encoder
from tests.recorded import recorded, sparse

ROOT = Path(__file__).parents[2]


def run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["inspect", *map(str, words)])
    return result.exit_code, result.stdout, result.stderr


def facts(*words: object) -> dict[str, object]:
    status, out, err = run("--json", *words)
    assert (status, err) == (0, "")
    return json.loads(out)


PUBLISHED = [
    ("ip-adapter_sd15", ("base", "sd15", 4, "vit-h", "image_embeds", 16, None, None)),
    ("ip-adapter_sd15_vit-G", ("base", "sd15", 4, "vit-bigg", "image_embeds", 16, None, None)),
    ("ip-adapter-plus_sd15", ("plus", "sd15", 16, "vit-h", "hidden_states", 16, None, None)),
    ("ip-adapter-plus-face_sd15", ("plus", "sd15", 16, "vit-h", "hidden_states", 16, None, None)),
    ("ip-adapter-full-face_sd15", ("full", "sd15", None, "vit-h", "hidden_states", 16, None, None)),
    ("ip-adapter_sdxl", ("base", "sdxl", 4, "vit-bigg", "image_embeds", 70, None, None)),
    ("ip-adapter_sdxl_vit-h", ("base", "sdxl", 4, "vit-h", "image_embeds", 70, None, None)),
    ("ip-adapter-plus_sdxl_vit-h", ("plus", "sdxl", 16, "vit-h", "hidden_states", 70, None, None)),
    ("ip-adapter-faceid_sdxl", ("faceid", "sdxl", 4, None, None, 70, "normed_embedding", 128)),
    ("ip-adapter-faceid-portrait_sd15", ("faceid", "sd15", 16, None, None, 16, "normed_embedding", None)),
]


@pytest.mark.parametrize(("name", "wanted"), PUBLISHED, ids=lambda value: value if isinstance(value, str) else "")
def test_published_files_are_told_from_their_header(name: str, wanted: tuple[object, ...], tmp_path: Path) -> None:
    keys = ("variant", "base", "tokens", "encoder", "feature", "layers", "face", "lora_rank")
    assert facts(sparse(tmp_path / "renamed.bin", recorded(name))) == {
        **dict(zip(keys, wanted, strict=True)),
        "ignored": [],
        "sha256": None,
    }


def test_the_json_has_the_promised_keys_and_the_card_shows_each(tmp_path: Path) -> None:
    path = save_adapter(tiny_adapter(Kind.PLUS), tmp_path / "plus [1].safetensors")
    found = facts("--hash", path)
    keys = ["variant", "base", "tokens", "encoder", "feature", "layers", "face", "lora_rank", "ignored", "sha256"]
    assert list(found) == list(ABOUT) == keys
    status, card, _ = run("--hash", path)
    assert status == 0
    assert all(str(value) in card for value in found.values() if value)
    assert "None" not in card
    assert path.name in card


def test_the_card_says_which_parts_of_a_file_are_not_used(tmp_path: Path) -> None:
    path = sparse(tmp_path / "ostris.safetensors", recorded("ostris_with_image_encoder"))
    assert facts(path)["ignored"] == ["image_encoder"]
    assert "image_encoder" in run(path)[1]


def test_what_shapes_do_not_tell_is_asked_for_and_can_be_said(tmp_path: Path) -> None:
    path = save_adapter(tiny_adapter(Kind.FACEID_PLUS_V2), tmp_path / "renamed.safetensors")
    status, out, err = run(path)
    assert (status, out) == (2, "")
    assert "renamed.safetensors may be faceid-plus or faceid-plusv2" in err
    assert facts("--kind", "faceid-plusv2", path)["variant"] == "faceid-plusv2"


def test_the_card_of_a_full_adapter_says_what_its_number_of_tokens_depends_on(tmp_path: Path) -> None:
    path = save_adapter(tiny_adapter(Kind.FULL), tmp_path / "full.safetensors")
    status, card, _ = run(path)
    assert status == 0
    assert "1 + patches" in card
    assert "None" not in card


@pytest.mark.parametrize("kind", Kind)
def test_a_pickle_and_a_safetensors_file_of_one_adapter_are_told_alike(kind: Kind, tmp_path: Path) -> None:
    adapter = tiny_adapter(kind)
    torch.save(adapter.tensors(), tmp_path / "a.bin")
    saved = save_adapter(adapter, tmp_path / "a.safetensors")
    assert facts("--kind", kind.value, tmp_path / "a.bin") == facts("--kind", kind.value, saved)


def test_the_hash_is_that_of_the_file_and_read_only_when_asked_for(tmp_path: Path) -> None:
    path = save_adapter(tiny_adapter(Kind.BASE), tmp_path / "base.safetensors")
    assert facts(path)["sha256"] is None
    assert facts("--hash", path)["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def large_bin(path: Path) -> Path:
    """A PyTorch file of gigabytes: a small adapter, and a member of which nothing is on the disk."""
    adapter = tiny_adapter(Kind.BASE)
    torch.save({"image_proj": adapter.image_proj.state_dict(), "ip_adapter": adapter.ip_adapter.state_dict()}, path)
    with zipfile.ZipFile(path, "a") as archive:
        info = zipfile.ZipInfo("large/data/9999")
        info.file_size = info.compress_size = 6 << 30
        info.CRC = 0
        file = archive.fp
        assert file is not None
        file.seek(archive.start_dir)
        info.header_offset = file.tell()
        file.write(info.FileHeader(zip64=True))
        file.seek(info.file_size, os.SEEK_CUR)
        archive.start_dir = file.tell()
        archive.filelist.append(info)
        archive._didModify = True  # pyright: ignore[reportAttributeAccessIssue]
    return path


def large_safetensors(path: Path) -> Path:
    return sparse(path, recorded("ip-adapter-plus_sdxl_vit-h") | {"padding": (6 << 28,)})


@pytest.mark.parametrize("make", [large_bin, large_safetensors], ids=lambda make: make.__name__)
def test_a_file_of_six_gigabytes_takes_no_longer_than_a_small_one(make: Callable[[Path], Path], tmp_path: Path) -> None:
    path = make(tmp_path / "large")
    assert path.stat().st_size > 6 << 30
    assert path.stat().st_blocks * 512 < 10 << 20
    begin = time.process_time()
    assert facts(path)["layers"]
    assert time.process_time() - begin < 0.5  # reading it all takes several times as long, from memory even


class Malice:
    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, ("malice was here",))


def truncated(path: Path) -> None:
    save_adapter(tiny_adapter(Kind.BASE), path)
    os.truncate(path, path.stat().st_size - 100)


def truncated_pickle(path: Path) -> None:
    torch.save({"image_proj": {"w": torch.zeros(1000)}}, path)
    os.truncate(path, path.stat().st_size // 2)


def spaced(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no weights")


UNUSABLE: dict[str, Callable[[Path], object]] = {
    "not there": lambda _: None,
    "a folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "a web page": lambda path: path.write_text("<!DOCTYPE html><title>Sign in</title>"),
    "an LFS pointer": lambda path: path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    ),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(99)),
    "cut short": truncated,
    "a pickle cut short": truncated_pickle,
    "a zip of something else": spaced,
    "a pickle with code": lambda path: torch.save({"image_proj": Malice()}, path),
    "an old pickle with code": lambda path: path.write_bytes(pickle.dumps(Malice(), protocol=2)),
    "a lora": lambda path: save_file({"lora_unet_down.weight": torch.zeros(1)}, path),
    "an image encoder": lambda path: save_file(tiny_encoder().state_dict(), path),
    "a whole checkpoint": lambda path: save_file({"model.diffusion_model.w": torch.zeros(1)}, path),
    "a header of a strange shape": lambda path: sparse(path, {"image_proj.proj.weight": [], "ip_adapter.1.w": [1]}),
    "a faceid-plus adapter of either version": lambda path: save_adapter(tiny_adapter(Kind.FACEID_PLUS), path),
    "a kolors adapter": lambda path: sparse(path, recorded("kolors-ip-adapter-plus")),
}


@pytest.mark.parametrize("make", UNUSABLE.values(), ids=UNUSABLE)
@pytest.mark.parametrize("options", [(), ("--json",), ("--hash",)], ids=" ".join)
def test_what_cannot_be_used_is_one_sentence_and_status_2(
    make: Callable[[Path], object], options: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "some file.bin")
    status, out, err = run(*options, tmp_path / "some file.bin")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert err.rstrip().endswith(".")
    assert "Traceback" not in err
    assert not (tmp_path / "malice was here").exists()


def test_a_file_that_may_not_be_opened_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_adapter(tiny_adapter(Kind.BASE), tmp_path / "base.safetensors")

    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", forbidden)
    status, _, err = run(path)
    assert (status, err.count("\n")) == (2, 1)
    assert "Permission denied" in err


PROGRAM = """
import sys
from lib_ipadapter.cli.app import app
try:
    app(["inspect", "--json", sys.argv[1]])
finally:
    print([name for name in ("diffusers", "transformers", "gradio") if name in sys.modules], file=sys.stderr)
"""


def test_looking_at_a_header_imports_neither_diffusers_nor_transformers(tmp_path: Path) -> None:
    path = save_adapter(tiny_adapter(Kind.BASE), tmp_path / "base.safetensors")
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["variant"] == "base"
    assert done.stderr.strip() == "[]"


def test_the_module_is_a_program_with_an_exit_status(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "lib_ipadapter", "inspect", tmp_path / "nothing.safetensors"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"There is no file {tmp_path / 'nothing.safetensors'}.\n"
