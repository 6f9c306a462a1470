"""``get``: as it is typed, in a process of its own, because the client reads once whether it is switched off."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib_ipadapter.session.published import PUBLISHED, find_published
from tests.hub import Hub, serving

ROOT = Path(__file__).parents[2]

SMALL = """
import hashlib, json, runpy, sys
from dataclasses import replace
from lib_ipadapter.session import published

sizes = json.loads(sys.argv.pop(1))
def small(item):
    size, value = sizes.get(item.name, (item.size, item.weights.sha256))
    return replace(item, files=(*item.files[:-1], replace(item.weights, size=size, sha256=value)))
published.PUBLISHED = tuple(map(small, published.PUBLISHED))
runpy.run_module("lib_ipadapter", run_name="__main__")
"""
"""The command line, with contents of a size that fits into a test in place of the published ones."""

ADAPTER, WEIGHTS = b"adapter" * 1000, b"encoder" * 1000
SIZES = {name: (len(c), hashlib.sha256(c).hexdigest()) for name, c in (("ip-adapter_sd15.safetensors", ADAPTER),)}
SIZES["vit-h"] = (len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving() as hub:
        home = "h94/IP-Adapter/models"
        hub.files = {
            f"{home}/ip-adapter_sd15.safetensors": ADAPTER,
            f"{home}/image_encoder/config.json": b'{"hidden_size": 1280, "patch_size": 14}',
            f"{home}/image_encoder/model.safetensors": WEIGHTS,
        }
        yield hub


def run(hub_url: str, *words: object, **environment: str) -> tuple[int, str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    done = subprocess.run(
        [sys.executable, "-c", SMALL, json.dumps(SIZES), "get", *map(str, words)],
        cwd=ROOT,
        env={**kept, "HF_ENDPOINT": hub_url, "NO_PROXY": "127.0.0.1", "COLUMNS": "200", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_an_adapter_comes_with_its_encoder_and_the_table_then_says_that_both_are_there(
    hub: Hub, tmp_path: Path
) -> None:
    status, out, err = run(hub.url, "ip-adapter_sd15", "--to", tmp_path)
    assert (status, err) == (0, "")
    assert (tmp_path / "ip-adapter/ip-adapter_sd15.safetensors").read_bytes() == ADAPTER
    assert (tmp_path / "clip_vision/vit-h/model.safetensors").read_bytes() == WEIGHTS
    assert "licence: Apache 2.0" in out
    assert out.count("its hash is the published one") == 2
    status, out, _ = run("http://127.0.0.1:9", "--to", tmp_path)
    there = [line.split("│")[1].strip() for line in out.splitlines() if "yes" in line]
    assert (status, there) == (0, ["vit-h", "ip-adapter_sd15.safetensors"])
    assert [item.name for item in PUBLISHED if item.name not in out] == []
    assert out.count("non-commercial research only") == 8


def test_an_encoder_that_is_there_is_not_got_again_and_a_terminal_sees_a_bar(hub: Hub, tmp_path: Path) -> None:
    home = tmp_path / "clip_vision" / "mine"
    home.mkdir(parents=True)
    (home / "config.json").write_bytes(hub.files["h94/IP-Adapter/models/image_encoder/config.json"])
    (home / "model.safetensors").touch()
    status, _, err = run(hub.url, "ip-adapter_sd15", "--to", tmp_path, FORCE_COLOR="1")
    assert status == 0
    assert "7.0/7.0 kB" in err
    assert [asked.path.rsplit("/", 1)[1] for asked in hub.downloads] == ["ip-adapter_sd15.safetensors"]


@pytest.mark.parametrize(
    ("name", "environment", "said"),
    [
        ("nope", {}, "no published file called 'nope'"),
        ("ip-adapter-plus_sd15", {}, "status 404"),
        ("ip-adapter_sd15", {"HF_HUB_OFFLINE": "1"}, "by hand: download"),
    ],
)
def test_what_cannot_be_got_is_one_sentence_and_status_2(
    hub: Hub, tmp_path: Path, name: str, environment: dict[str, str], said: str
) -> None:
    del hub.files["h94/IP-Adapter/models/image_encoder/config.json"]
    status, _, err = run(hub.url, name, "--to", tmp_path, **environment)
    assert status == 2
    assert said in err.strip().splitlines()[-1]
    assert err.strip().endswith(".")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_pieces_of_this_file_are_entries_of_the_table() -> None:
    assert [find_published(name).name for name in SIZES] == list(SIZES)
