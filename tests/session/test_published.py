"""The table of published files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.needs import with_encoder
from lib_ipadapter.session.published import PUBLISHED, find_published
from lib_ipadapter.session.remote import Licence, Shelf

README = Path(__file__).parents[2] / "README.md"

ADAPTERS = [item for item in PUBLISHED if item.shelf is Shelf.ADAPTERS]
ENCODERS = {item.name: item for item in PUBLISHED if item.shelf is Shelf.ENCODERS}


def test_every_name_and_every_place_is_there_once() -> None:
    names = [item.name for item in PUBLISHED]
    places = [(item.shelf, file.target) for item in PUBLISHED for file in item.files]
    assert len(set(names)) == len(names)
    assert len(set(places)) == len(places)


def test_every_hash_is_a_sha256_and_no_two_are_the_same() -> None:
    hashes = [item.weights.sha256 for item in PUBLISHED if item.weights.sha256]
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in hashes)
    assert len(set(hashes)) == len(hashes) == len(PUBLISHED) - 2


def test_every_revision_is_a_whole_commit_where_one_is_established() -> None:
    revisions = {item.repository.name: item.repository.revision for item in PUBLISHED}
    assert all(re.fullmatch("[0-9a-f]{40}", revision) for revision in revisions.values() if revision)
    assert [name for name, revision in revisions.items() if revision is None] == ["ostris/ip-composition-adapter"]


def test_every_encoder_that_an_adapter_needs_is_in_the_table() -> None:
    assert {item.encoder for item in ADAPTERS} - {""} == set(ENCODERS)


def test_faceid_is_for_research_and_the_rest_is_not() -> None:
    research = {item.name for item in PUBLISHED if item.repository.licence is Licence.RESEARCH}
    assert research == {item.name for item in PUBLISHED if "faceid" in item.name}
    assert len(research) == 8


def test_the_readme_says_of_each_file_what_the_table_says() -> None:
    cells = (r"`(ip-adapter\S+)`", r"([^|]+)", r"ViT-(\w+)", r"\d+", r"(\d+) MB", r"`([0-9a-f]{12})`")
    row = re.compile(r"^\| " + r" \| ".join(cells) + r" \|$", re.MULTILINE)
    rows = row.findall(README.read_text(encoding="utf-8"))
    assert len(rows) == 8
    for name, about, encoder, megabytes, begins in rows:
        item = find_published(name)
        assert (item.about, item.encoder) == (about, f"vit-{encoder.lower()}")
        assert (item.weights.sha256 or "").startswith(begins)
        assert round((item.weights.size or 0) / 1e6) == int(megabytes)


@pytest.mark.parametrize("name", ["ip-adapter_sd15.safetensors", "ip-adapter_sd15", " IP-Adapter_SD15 "])
def test_a_file_is_found_with_or_without_its_suffix_in_any_case(name: str) -> None:
    assert find_published(name).weights.path == "models/ip-adapter_sd15.safetensors"


def test_an_unknown_name_is_a_sentence_that_lists_the_known_ones() -> None:
    with pytest.raises(UnitError, match=r"'nope'.* vit-h, .*ip-adapter_sd15\.safetensors"):
        find_published("nope")


def test_an_adapter_comes_after_the_encoder_that_it_needs(tmp_path: Path) -> None:
    wanted = with_encoder(find_published("ip-adapter_sd15"), [tmp_path])
    assert [item.name for item in wanted] == ["vit-h", "ip-adapter_sd15.safetensors"]


def test_an_encoder_of_that_width_is_not_got_again_whatever_it_is_called(tmp_path: Path) -> None:
    home = tmp_path / "mine" / "clip"
    home.mkdir(parents=True)
    (home / "config.json").write_text(json.dumps({"hidden_size": 1280, "patch_size": 14}))
    (home / "model.safetensors").touch()
    wanted = with_encoder(find_published("ip-adapter_sd15"), [tmp_path / "nowhere", tmp_path])
    assert [item.name for item in wanted] == ["ip-adapter_sd15.safetensors"]
    other = with_encoder(find_published("ip-adapter_sdxl"), [tmp_path])
    assert [item.name for item in other] == ["vit-bigg", "ip-adapter_sdxl.safetensors"]


def test_what_needs_no_encoder_comes_alone(tmp_path: Path) -> None:
    assert [i.name for i in with_encoder(find_published("ip-adapter-faceid_sd15"), [tmp_path])] == [
        "ip-adapter-faceid_sd15.bin"
    ]


def test_what_is_there_is_seen_by_its_size_without_reading_it(tmp_path: Path) -> None:
    item = find_published("ip-adapter_sd15")
    assert not item.is_in(tmp_path)
    with (tmp_path / item.name).open("wb") as file:
        file.truncate(44642767)
        assert not item.is_in(tmp_path)
        file.truncate(44642768)
    assert item.is_in(tmp_path)
