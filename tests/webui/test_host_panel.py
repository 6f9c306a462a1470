"""The panel as the WebUI fills it, with a stand-in for the WebUI."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import gradio as gr
import pytest
from safetensors.torch import save_file

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.faces import GivenFace
from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.session.unit import Unit
from tests.models import save_adapter, tiny_adapter
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


LOOKED_AT = [
    (Unit(model="ip-adapter_sd15"), ""),
    (Unit(model="gone"), ""),
    (Unit(), ""),
    (Unit(model="faces [cannot be used]"), "only whose face is in it is looked at"),
    (Unit(model="faces", face=GivenFace("ada")), "not looked at beside the face that is given"),
    (Unit(model="either"), ""),
    (Unit(model="either", kind="faceid-plus"), "only the face in it is looked at, turned and cut out"),
]


@pytest.mark.parametrize(("unit", "wanted"), LOOKED_AT)
def test_what_a_faceid_file_makes_of_a_picture_is_known(
    unit: Unit, wanted: str, host_panel: Any, webui: FakeWebUI
) -> None:
    folder = webui.data / "models/ip-adapter"
    save_adapter(tiny_adapter(Kind.FACEID), folder / "faces.safetensors")
    save_file(tiny_adapter(Kind.FACEID_PLUS).tensors(), folder / "either.safetensors")
    assert host_panel.lists().looked_at(unit) == wanted


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
