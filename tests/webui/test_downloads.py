"""*Get models* in the panel, with the hub's real client and a server on this machine."""

from __future__ import annotations

import inspect
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import pytest

from lib_ipadapter.session.published import PUBLISHED
from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.webui import downloads
from lib_ipadapter.webui.downloads import Downloads
from tests.hub import Hub, fresh_client, online, serving
from tests.webui.panels import functions_of

NAME = "ip_plus_composition_sd15.safetensors"
"""Of which no hash is published, so that any content does."""

CONTENT = random.Random(1).randbytes(100_000)

Folders = Callable[[Shelf], list[Path]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving() as hub:
        hub.files = {f"ostris/ip-composition-adapter/{NAME}": CONTENT}
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        online(monkeypatch.setattr, pieces=10_000)
        yield hub
    fresh_client()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    """With the encoder that the adapter needs."""
    home = tmp_path / "clip_vision" / "mine"
    home.mkdir(parents=True)
    (home / "config.json").write_text(json.dumps({"hidden_size": 1280, "patch_size": 14}))
    (home / "model.safetensors").touch()
    return lambda shelf: [tmp_path / shelf.value, tmp_path / "another"]


def test_it_says_how_far_it_is_and_in_the_end_where_the_file_lies(hub: Hub, folders: Folders, tmp_path: Path) -> None:
    hub.gate.clear()
    said = []
    for text in Downloads(folders).follow(NAME):
        said.append(text)
        if "50%" in text:
            hub.gate.set()
    assert f"{NAME}: 0 MB of 0 MB (50%)" in said
    assert said[-1].startswith(f"{NAME} is in {tmp_path / 'ip-adapter'}; ")
    assert (tmp_path / "ip-adapter" / NAME).read_bytes() == CONTENT


def test_cancel_ends_it_without_a_file_of_that_name(hub: Hub, folders: Folders, tmp_path: Path) -> None:
    hub.gate.clear()
    panel, said = Downloads(folders), []
    for text in panel.follow(NAME):
        said.append(text)
        if "50%" in text:
            panel.cancel()
    assert "cancelled" in said[-1]
    hub.gate.set()
    assert not (tmp_path / "ip-adapter" / NAME).exists()


def test_after_cancel_it_is_got_as_soon_as_the_server_has_answered_and_said_until_then(
    hub: Hub, folders: Folders, tmp_path: Path
) -> None:
    hub.gate.clear()
    panel = Downloads(folders)
    for text in panel.follow(NAME):
        if "50%" in text:
            panel.cancel()
    for name in (NAME, "vit-h"):
        assert [*panel.follow(name)] == [f"{NAME} is still being cancelled; click again when the server has answered."]
    hub.gate.set()
    assert panel._thread
    panel._thread.join()
    assert [*panel.follow(NAME)][-1].startswith(f"{NAME} is in {tmp_path / 'ip-adapter'}; ")


def test_whoever_comes_back_follows_what_is_running_and_gets_nothing_else(hub: Hub, folders: Folders) -> None:
    hub.gate.clear()
    panel = Downloads(folders)
    first = panel.follow(NAME)
    next(first)
    assert [*panel.follow("vit-h")] == [f"{NAME} is being downloaded; wait until that has ended, or cancel it."]
    second = panel.follow(NAME)
    assert next(second).startswith(NAME)
    hub.gate.set()
    assert [*second][-1] == [*first][-1]
    assert len(hub.downloads) == 1


def test_a_failure_is_a_sentence_in_the_page(hub: Hub, folders: Folders) -> None:
    hub.status = 404
    assert "status 404" in [*Downloads(folders).follow(NAME)][-1]


def test_without_a_queue_each_click_says_one_thing_and_the_last_how_it_ended(
    hub: Hub, folders: Folders, tmp_path: Path
) -> None:
    hub.gate.clear()
    panel = Downloads(folders)
    for _ in range(2):
        assert panel.look(NAME).endswith("; press Get again to see how far it is.")
    assert panel.look("vit-h") == f"{NAME} is being downloaded; wait until that has ended, or cancel it."
    hub.gate.set()
    assert panel._thread
    panel._thread.join()
    assert panel.look(NAME).startswith(f"{NAME} is in {tmp_path / 'ip-adapter'}; ")
    assert len(hub.downloads) == 1


def test_without_a_queue_a_failure_is_said_at_the_next_click(hub: Hub, folders: Folders) -> None:
    hub.status = 404
    panel = Downloads(folders)
    panel.look(NAME)
    assert panel._thread
    panel._thread.join()
    assert "status 404" in panel.look(NAME)


@pytest.mark.parametrize("has_queue", [True, False])
def test_only_a_queue_is_given_an_event_that_says_several_things(has_queue: bool, folders: Folders) -> None:
    with gr.Blocks() as blocks:
        downloads.build("ip_adapter_txt2img_get", folders, has_queue=has_queue)
    assert any(inspect.isgeneratorfunction(event.fn) for event in functions_of(blocks)) == has_queue


def test_the_page_shows_no_folder_of_the_server(hub: Hub, folders: Folders, tmp_path: Path) -> None:
    hub.status = 404
    with gr.Blocks() as blocks:
        downloads.build("ip_adapter_txt2img_get", folders, shown=lambda text: text.replace(str(tmp_path), "here"))
    start = next(event.fn for event in functions_of(blocks) if inspect.isgeneratorfunction(event.fn))
    (facts,) = [
        block.value for block in blocks.blocks.values() if str(getattr(block, "elem_id", None)).endswith("_facts")
    ]
    assert "Into: here/ip-adapter" in facts
    assert str(tmp_path) not in facts + " ".join(start(NAME))


def test_an_encoder_that_is_missing_is_got_first(hub: Hub, folders: Folders, tmp_path: Path) -> None:
    (tmp_path / "clip_vision/mine/config.json").unlink()
    assert [*Downloads(folders).follow(NAME)][-1].startswith("config.json: the server does not have this file")


def test_nothing_is_asked_before_the_click(hub: Hub, folders: Folders) -> None:
    with gr.Blocks():
        downloads.build("ip_adapter_txt2img_get", folders)
    assert hub.asked == []


def test_it_is_folded_and_everything_in_it_is_known_by_our_name(folders: Folders) -> None:
    with gr.Blocks() as blocks:
        downloads.build("ip_adapter_txt2img_get", folders)
    named = [block for block in blocks.blocks.values() if getattr(block, "elem_id", None)]
    ids = [f"ip_adapter_txt2img_get{end}" for end in ("", "_file", "_facts", "_start", "_cancel", "_status")]
    assert [block.elem_id for block in named] == ids
    assert named[0].open is False
    assert named[1].do_not_save_to_config


def test_every_row_of_the_table_is_said_with_licence_and_hash(folders: Folders) -> None:
    for item in PUBLISHED:
        said = downloads.describe(item.name, folders)
        assert f"Licence: {item.repository.licence.value}" in said
        assert (item.weights.sha256 or "not known here") in said
        assert str(folders(item.shelf)[0]) in said
