"""Getting files, by the real client of the hub against a server on this machine."""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import file_download

from lib_ipadapter.errors import DownloadError
from lib_ipadapter.session.arriving import ArrivingFile, Progress, Watch
from lib_ipadapter.session.download import get
from lib_ipadapter.session.remote import Licence, Published, Remote, Repository, Shelf
from tests.hub import COMMIT, Hub, fresh_client, online, serving

CONTENT = random.Random(0).randbytes(100_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = CONTENT[:-1] + b"?"
PIECES = 10_000
"""Bytes that the client hands over at once; its own number is 10 MB."""

REPOSITORY = Repository("me/adapters", COMMIT, Licence.APACHE)
NAME = "me/adapters/sub/tiny.safetensors"
ADAPTER = Published(
    "tiny.safetensors",
    "",
    REPOSITORY,
    Shelf.ADAPTERS,
    (Remote("sub/tiny.safetensors", Path("tiny.safetensors"), len(CONTENT), SHA256),),
)
ENCODER = Published(
    "vit-t",
    "",
    REPOSITORY,
    Shelf.ENCODERS,
    (
        Remote("enc/config.json", Path("vit-t/config.json")),
        Remote("enc/model.safetensors", Path("vit-t/model.safetensors")),
    ),
)
UNKNOWN = replace(ADAPTER, files=(replace(ADAPTER.weights, size=None, sha256=None),))
"""The same file, had nobody established its hash."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as hub:
        hub.files = {NAME: CONTENT, "me/adapters/enc/config.json": b"{}", "me/adapters/enc/model.safetensors": CONTENT}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        online(monkeypatch.setattr, pieces=PIECES)
        # A broken connection is tried again after a second; and this only waits less.
        monkeypatch.setattr("huggingface_hub.file_download.time", SimpleNamespace(sleep=lambda _: None))
        yield hub
    fresh_client()


def fails(folder: Path, item: Published = ADAPTER, watch: Watch | None = None) -> str:
    """The sentence."""
    with pytest.raises(DownloadError) as caught:
        get(item, folder, watch or Watch())
    said = str(caught.value)
    assert said.endswith(".")
    assert "\n" not in said
    return said


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def assert_by_hand(said: str, hub_url: str, folder: Path) -> None:
    """It says what to do without this program."""
    assert f"download {hub_url}/me/adapters/resolve/{COMMIT}/sub/tiny.safetensors" in said
    assert f"put it at {folder / 'tiny.safetensors'}" in said
    assert f"its SHA-256 is {SHA256}" in said


def test_a_file_comes_from_its_commit_into_its_folder_and_nothing_else_stays(hub: Hub, tmp_path: Path) -> None:
    said = get(ADAPTER, tmp_path / "a folder" / "ip-adapter", Watch())
    assert (tmp_path / "a folder/ip-adapter/tiny.safetensors").read_bytes() == CONTENT
    assert names(tmp_path) == ["a folder/ip-adapter/tiny.safetensors"]
    assert said == f"tiny.safetensors is in {tmp_path / 'a folder/ip-adapter'}; its hash is the published one."
    assert {asked.path.split("/")[-3] for asked in hub.asked} == {COMMIT}


def test_progress_counts_every_byte_once_up_to_the_whole(hub: Hub, tmp_path: Path) -> None:
    seen: list[Progress] = []
    get(ADAPTER, tmp_path, Watch(seen.append))
    assert [progress.done for progress in seen] == list(range(PIECES, len(CONTENT) + 1, PIECES))
    assert {(progress.name, progress.total) for progress in seen} == {("tiny.safetensors", len(CONTENT))}


def test_an_encoder_is_a_folder_with_its_configuration_first(hub: Hub, tmp_path: Path) -> None:
    said = get(ENCODER, tmp_path, Watch())
    assert names(tmp_path) == ["vit-t/config.json", "vit-t/model.safetensors"]
    assert [asked.path.split("/")[-1] for asked in hub.downloads] == ["config.json", "model.safetensors"]
    assert "the one that the server says, no other is known here" in said


def test_a_small_file_is_checked_by_gits_hash(hub: Hub, tmp_path: Path) -> None:
    hub.etags["me/adapters/enc/config.json"] = "0" * 40
    assert "damaged or another file" in fails(tmp_path, ENCODER)
    assert names(tmp_path) == []


def test_after_an_interruption_it_goes_on_where_it_was(hub: Hub, tmp_path: Path) -> None:
    """Newer clients go on by themselves; of older ones the file is asked for again."""
    hub.cut = 35_000
    target = tmp_path / "tiny.safetensors"
    for _ in range(5):
        if not target.exists():
            with suppress(DownloadError):
                get(ADAPTER, tmp_path, Watch())
    assert target.read_bytes() == CONTENT
    assert [asked.start for asked in hub.downloads][:2] in ([0, 35_000], [0, 30_000])
    assert sum(asked.sent for asked in hub.downloads) < 1.2 * len(CONTENT)
    assert names(tmp_path) == ["tiny.safetensors"]


def test_a_server_that_stays_away_is_a_sentence_and_no_half_file(hub: Hub, tmp_path: Path) -> None:
    seen: list[Progress] = []

    def vanish(progress: Progress) -> None:
        seen.append(progress)
        hub.status = 503

    hub.cut = 35_000
    said = fails(tmp_path, watch=Watch(vanish))
    assert not (tmp_path / "tiny.safetensors").exists()
    assert_by_hand(said, hub.url, tmp_path)
    hub.cut = hub.status = 0
    get(ADAPTER, tmp_path, Watch())
    assert hub.downloads[-1].start == seen[-1].done > 0


def test_a_server_without_ranges_gives_the_right_file_in_the_end(hub: Hub, tmp_path: Path) -> None:
    hub.knows_ranges = False
    (tmp_path / f"tiny.safetensors.{SHA256[:12]}.part").write_bytes(CONTENT[:50_000])
    for _ in range(3):
        if not (tmp_path / "tiny.safetensors").exists():
            with suppress(DownloadError):
                get(ADAPTER, tmp_path, Watch())
    assert (tmp_path / "tiny.safetensors").read_bytes() == CONTENT


def test_what_had_arrived_whole_is_checked_and_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"tiny.safetensors.{SHA256[:12]}.part").write_bytes(CONTENT)
    get(ADAPTER, tmp_path, Watch())
    assert names(tmp_path) == ["tiny.safetensors"]
    assert hub.downloads == []


def test_another_content_than_the_published_one_is_refused_before_it_is_fetched(hub: Hub, tmp_path: Path) -> None:
    hub.files[NAME] = OTHER
    said = fails(tmp_path)
    assert "another content than the published one" in said
    assert_by_hand(said, hub.url, tmp_path)
    assert hub.downloads == []
    assert names(tmp_path) == []


@pytest.mark.parametrize("announced", [SHA256, "a-name-of-its-own"])
def test_what_arrives_with_a_wrong_hash_is_removed(hub: Hub, tmp_path: Path, announced: str) -> None:
    """A mirror may say what it likes: what counts is what lies on the disk."""
    hub.files[NAME], hub.etags[NAME] = OTHER, announced
    said = fails(tmp_path)
    assert hashlib.sha256(OTHER).hexdigest() in said
    assert SHA256 in said
    assert names(tmp_path) == []
    hub.files[NAME] = CONTENT
    get(ADAPTER, tmp_path, Watch())
    assert (tmp_path / "tiny.safetensors").read_bytes() == CONTENT


def test_without_a_published_hash_the_servers_is_the_one_that_counts_and_it_is_said(hub: Hub, tmp_path: Path) -> None:
    assert "the one that the server says, no other is known here" in get(UNKNOWN, tmp_path, Watch())
    (tmp_path / "tiny.safetensors").unlink()
    hub.files[NAME], hub.etags[NAME] = OTHER, SHA256
    assert "damaged or another file" in fails(tmp_path, UNKNOWN)


def test_where_nobody_knows_a_hash_it_is_said_that_nothing_was_checked(hub: Hub, tmp_path: Path) -> None:
    hub.etags[NAME] = "a-name-of-its-own"
    assert "so it was not checked" in get(UNKNOWN, tmp_path, Watch())


def test_too_small_a_disk_is_seen_before_anything_is_fetched(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=99_999))
    assert "is full" in fails(tmp_path)
    assert hub.downloads == []
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    get(ADAPTER, tmp_path, Watch())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, which is full whatever is written")
def test_a_disk_that_fills_up_in_the_middle_is_a_sentence(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / f"tiny.safetensors.{SHA256[:12]}.part").symlink_to("/dev/full")
    said = fails(tmp_path)
    assert f"the disk of {tmp_path} is full" in said
    assert not (tmp_path / "tiny.safetensors").exists()


def test_a_folder_that_is_a_file_is_a_sentence(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    assert "cannot be written" in fails(tmp_path / "models")


def test_a_file_that_the_server_lacks_is_a_sentence(hub: Hub, tmp_path: Path) -> None:
    del hub.files[NAME]
    said = fails(tmp_path)
    assert "does not have this file (status 404)" in said
    assert_by_hand(said, hub.url, tmp_path)
    assert names(tmp_path) == []


@pytest.mark.parametrize(("status", "said"), [(401, "HF_TOKEN"), (403, "HF_TOKEN"), (500, "status 500")])
def test_a_refusal_is_a_sentence(hub: Hub, tmp_path: Path, status: int, said: str) -> None:
    hub.status = status
    assert said in fails(tmp_path)


def test_cancelled_in_the_middle_it_stops_there_and_goes_on_from_there_later(hub: Hub, tmp_path: Path) -> None:
    cancel, seen = Event(), []

    def stop_at_30_000(progress: Progress) -> None:
        seen.append(progress.done)
        if progress.done == 30_000:
            cancel.set()

    assert "cancelled" in fails(tmp_path, watch=Watch(stop_at_30_000, cancel))
    assert seen[-1] == 30_000
    assert [Path(name).suffix for name in names(tmp_path)] == [".part"]
    get(ADAPTER, tmp_path, Watch())
    assert hub.downloads[-1].start == 30_000
    assert (tmp_path / "tiny.safetensors").read_bytes() == CONTENT


def test_cancelled_before_it_began_it_asks_nobody(hub: Hub, tmp_path: Path) -> None:
    cancel = Event()
    cancel.set()
    assert "cancelled" in fails(tmp_path, watch=Watch(cancel=cancel))
    assert hub.asked == []


def test_a_mirror_is_asked_instead_of_the_hub(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as mirror:
        mirror.files = dict(hub.files)
        monkeypatch.setenv("HF_ENDPOINT", mirror.url + "/")
        get(ADAPTER, tmp_path, Watch())
        assert len(mirror.downloads) == 1
        assert hub.asked == []


def test_switched_off_it_says_how_to_do_it_by_hand(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    fresh_client()
    said = fails(tmp_path)
    assert "HF_HUB_OFFLINE" in said
    assert_by_hand(said, hub.url, tmp_path)
    assert hub.asked == []


def test_without_a_network_it_says_how_to_do_it_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as gone:
        pass
    monkeypatch.setenv("HF_ENDPOINT", gone.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    online(monkeypatch.setattr)
    said = fails(tmp_path)
    assert "the connection failed" in said
    assert_by_hand(said, gone.url, tmp_path)
    assert names(tmp_path) == []


def test_of_two_at_once_the_second_is_told_so_and_the_first_gets_its_file(hub: Hub, tmp_path: Path) -> None:
    hub.gate.clear()
    begun, outcome = Event(), []
    first = Thread(target=lambda: outcome.append(get(ADAPTER, tmp_path, Watch(lambda _: begun.set()))))
    first.start()
    assert begun.wait(30)
    assert "is being downloaded already" in fails(tmp_path)
    hub.gate.set()
    first.join(30)
    assert "is in" in outcome[0]
    assert (tmp_path / "tiny.safetensors").read_bytes() == CONTENT
    assert names(tmp_path) == ["tiny.safetensors"]


def test_what_is_there_already_is_not_got_again(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(CONTENT)
    assert "its hash is the published one" in get(ADAPTER, tmp_path, Watch())
    assert hub.asked == []
    get(UNKNOWN, tmp_path, Watch())
    assert hub.downloads == []


@pytest.mark.parametrize("item", [ADAPTER, UNKNOWN])
def test_another_content_under_that_name_is_kept(hub: Hub, tmp_path: Path, item: Published) -> None:
    (tmp_path / "tiny.safetensors").write_bytes(b"mine")
    said = fails(tmp_path, item)
    assert "is there already with another content" in said
    assert (tmp_path / "tiny.safetensors").read_bytes() == b"mine"
    assert names(tmp_path) == ["tiny.safetensors"]


FAST = "HF_HUB_ENABLE_HF_TRANSFER"


@pytest.mark.parametrize("said", [True, False, None])
@pytest.mark.parametrize("broken", [False, True])
def test_the_hubs_other_client_is_not_used_which_knows_neither_progress_nor_cancelling(
    said: bool | None, broken: bool, *, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 0.25 takes it where the environment says so; newer ones have no such word."""
    constants, seen = huggingface_hub.constants, []
    monkeypatch.setattr(constants, FAST, said, raising=False)
    if said is None:
        monkeypatch.delattr(constants, FAST)

    def receive(_: str, file: ArrivingFile, **__: Any) -> None:
        seen.append(getattr(constants, FAST, None))
        if broken:
            raise ConnectionError
        file.write(CONTENT)

    monkeypatch.setattr(file_download, "http_get", receive)
    with pytest.raises(DownloadError, match="connection failed") if broken else nullcontext():
        get(ADAPTER, tmp_path, Watch())
    assert seen == [said and False]
    assert getattr(constants, FAST, None) is said


def test_a_lists_model_suffix_is_never_that_of_a_part(hub: Hub, tmp_path: Path) -> None:
    """Half a file must not appear in the list of models."""
    from lib_ipadapter.session.files import list_files

    def look(_: Any) -> None:
        assert list_files([tmp_path]) == []

    get(ADAPTER, tmp_path, Watch(look))
    assert [file.name for file in list_files([tmp_path])] == ["tiny"]
