"""The panel as the WebUI fills it, with a stand-in for the WebUI."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import gradio as gr
import pytest

from lib_ipadapter.session.remote import Shelf
from tests.webui.fake_host import FakeWebUI
from tests.webui.panels import functions_of


@pytest.fixture
def host_panel(webui: FakeWebUI) -> Any:
    from lib_ipadapter.webui import host_panel

    return host_panel


def test_its_lists_are_of_the_webuis_folders(host_panel: Any, webui: FakeWebUI) -> None:
    lists = host_panel.lists()
    assert list(lists.models()) == ["None", "ip-adapter_sd15"]
    assert lists.resolve("IP-Adapter_SD15.safetensors") == "ip-adapter_sd15"
    assert list(lists.encoders("None")) == ["tiny"]
    assert host_panel.searched(Shelf.ADAPTERS)[0] == webui.data / "models/ip-adapter"
    assert host_panel.searched(Shelf.ENCODERS)[0] == webui.data / "models/clip_vision"


@pytest.mark.parametrize("without", [False, True])
def test_without_gradios_queue_no_event_needs_one(
    without: bool, host_panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["modules.shared"].cmd_opts, "no_gradio_queue", without, raising=False)
    with gr.Blocks() as blocks:
        controls = host_panel.build("img2img", host_panel.lists())
    assert len(controls) == 3
    assert any(inspect.isgeneratorfunction(event.fn) for event in functions_of(blocks)) != without


def test_no_folder_of_the_server_stands_in_the_page(host_panel: Any, webui: FakeWebUI) -> None:
    with gr.Blocks() as blocks:
        host_panel.build("txt2img", host_panel.lists())
    shown = str([component["props"].get("value") for component in blocks.get_config_file()["components"]])
    assert "Into: models/ip-adapter" in shown
    assert str(webui.data) not in shown
