"""The extension's own routes: what they answer, and that nobody gets in who may not use the WebUI's API."""

from __future__ import annotations

import base64
import importlib
import io
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import save_file
from torch import equal, ones

from lib_ipadapter import __version__
from lib_ipadapter.model.prompt_file import SavedPrompt
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.unit import FIELDS
from tests.models import tiny_adapter, tiny_encoder
from tests.webui.fake_host import FakeWebUI


@pytest.fixture
def webui(webui: FakeWebUI, tmp_path: Path) -> FakeWebUI:
    """With more files, of which not all are what their place says."""
    adapters, encoders = tmp_path / "models/ip-adapter", tmp_path / "models/clip_vision"
    (adapters / "ip-adapter_sd15.safetensors").rename(adapters / "base.safetensors")
    (adapters / "cut.bin").touch()
    save_file({"lora_unet.a": ones(1)}, adapters / "lora.safetensors")
    save_file({"a": ones(1)}, encoders / "other.safetensors")
    return webui


@pytest.fixture
def routes(webui: FakeWebUI) -> ModuleType:
    return fresh("webui.routes")


@pytest.fixture
def client(routes: ModuleType) -> TestClient:
    app = FastAPI()
    app.add_api_route(routes.WATCHED, lambda: None)
    routes.mount(None, app)
    return TestClient(app)


def fresh(name: str) -> ModuleType:
    """Imported for this test's WebUI; a ``from ... import`` would find the module of the test before."""
    return importlib.import_module(f"lib_ipadapter.{name}")


def ours(app: FastAPI) -> dict[str, Any]:
    return {route.path: route for route in app.routes if route.path.startswith("/ip-adapter")}


def test_each_route_has_the_protection_of_the_webuis_own(routes: ModuleType) -> None:
    app = FastAPI()
    guard = Depends(lambda: pytest.fail("was asked"))
    app.add_api_route(routes.WATCHED, lambda: None, dependencies=[guard])
    routes.mount(None, app)
    mounted = ours(app)
    methods = {path: {m for r in app.routes if r.path == path for m in r.methods} for path in mounted}
    assert methods == {
        "/ip-adapter/models": {"GET"},
        "/ip-adapter/encoders": {"GET"},
        "/ip-adapter/unload": {"POST"},
        "/ip-adapter/version": {"GET"},
        "/ip-adapter/encode": {"POST"},
        "/ip-adapter/presets": {"GET", "PUT", "DELETE"},
    }
    assert all(route.dependencies == [guard] for route in app.routes if route.path.startswith("/ip-adapter"))


def test_without_the_webuis_api_there_is_none_of_ours(routes: ModuleType) -> None:
    app = FastAPI()
    routes.mount(None, app)
    assert ours(app) == {}


def test_mounting_twice_as_after_reload_ui_changes_nothing(routes: ModuleType) -> None:
    app = FastAPI()
    app.add_api_route(routes.WATCHED, lambda: None)
    routes.mount(None, app)
    once = list(app.routes)
    routes.mount(None, app)
    assert app.routes == once


def test_adapters_are_listed_with_what_they_are_and_others_left_out(routes: ModuleType) -> None:
    assert routes.get_models() == [
        {
            "name": "base",
            "variant": "base",
            "base": "sd15",
            "encoder": "one that is not published",
            "kinds": [],
            "fits": True,
            "why": "",
        },
        {
            "name": "cut",
            "variant": None,
            "base": None,
            "encoder": None,
            "kinds": [],
            "fits": False,
            "why": "is an empty file",
        },
    ]


def test_of_a_file_that_may_be_two_things_the_list_says_which(routes: ModuleType, tmp_path: Path) -> None:
    save_file(tiny_adapter(Kind.FACEID_PLUS).tensors(), tmp_path / "models/ip-adapter/either.safetensors")
    (found,) = [row for row in routes.get_models() if row["name"] == "either"]
    assert (found["fits"], found["kinds"], found["variant"]) == (None, ["faceid-plus", "faceid-plusv2"], None)


def test_encoders_are_listed_with_their_widths_or_why_they_are_none(routes: ModuleType) -> None:
    assert routes.get_encoders() == [
        {
            "name": "other",
            **dict.fromkeys(("encoder", "image_embeds", "hidden_states")),
            "why": "is not a CLIP image encoder: it has no vision tower",
        },
        {"name": "tiny", "encoder": None, "image_embeds": 40, "hidden_states": 64, "why": ""},
    ]


def test_the_page_offers_only_encoders_that_can_be_used(webui: FakeWebUI, tmp_path: Path) -> None:
    tiny_encoder(embed=48).save_pretrained(tmp_path / "models/clip_vision/wide")

    def offered(model: str) -> list[str]:
        names = fresh("webui.models").encoder_names
        return names([tmp_path / "models/clip_vision"], model, [tmp_path / "models/ip-adapter"])

    assert offered("base") == ["tiny"]
    assert all(offered(model) == ["tiny", "wide"] for model in ("None", "gone", "cut"))


def test_unloading_empties_the_cache_and_says_so(routes: ModuleType, tmp_path: Path) -> None:
    adapter = LIBRARY.adapter(tmp_path / "models/ip-adapter/base.safetensors")
    assert routes.unload() == {"freed": adapter.nbytes}
    assert len(LIBRARY.adapters) == 0


def test_unloading_waits_for_the_job_that_runs(routes: ModuleType, tmp_path: Path) -> None:
    LIBRARY.adapter(tmp_path / "models/ip-adapter/base.safetensors")
    with ThreadPoolExecutor(1) as pool:
        with fresh("hosts.a1111").alone():
            answer = pool.submit(routes.unload)
            assert not wait([answer], 0.2).done
            assert len(LIBRARY.adapters) == 1
        assert answer.result(60)["freed"] > 0


def encoded(colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def test_encode_gives_a_file_that_stands_for_the_pictures(routes: ModuleType, client: TestClient) -> None:
    unit = {"image": encoded(), "images": [encoded("blue")], "model": "base", "scale": 0}
    answer = client.post("/ip-adapter/encode", json=unit)
    assert answer.status_code == 200
    found = answer.json()
    prompt = SavedPrompt.parse(base64.b64decode(found.pop("embeds")), "")
    assert found == {
        "variant": "base", "items": 1, "tokens": 8, "adapter": "base", "adapter_sha256": prompt.adapter_sha256
    }  # fmt: skip
    assert prompt.embeds.cond.shape[1] == 8


@pytest.mark.parametrize(
    "resting", [{"enabled": False}, {"scale": 0}, {"curve": "0:0"}, {"layers": "0:0"}, {"grid": "0"}]
)
def test_what_rests_is_encoded_as_what_acts(client: TestClient, resting: dict[str, Any]) -> None:
    units = [{"image": encoded(), "model": "base", **more} for more in ({}, resting)]
    answers = [client.post("/ip-adapter/encode", json=unit).json()["embeds"] for unit in units]
    acting, rests = (SavedPrompt.parse(base64.b64decode(answer), "").embeds.cond for answer in answers)
    assert equal(acting, rests)


@pytest.mark.parametrize(
    ("unit", "said"),
    [({"model": "base"}, "without a reference picture"), ({"image": "/etc/passwd", "model": "base"}, "in base64")],
)
def test_what_cannot_be_encoded_is_a_sentence(client: TestClient, unit: dict[str, Any], said: str) -> None:
    answer = client.post("/ip-adapter/encode", json=unit)
    assert answer.status_code == 422
    assert said in answer.json()["detail"]


def test_what_is_not_there_is_told_without_this_machines_folders_and_the_log_has_them(
    client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for unit in ({"image": encoded(), "model": "gone"}, {"embeds": "gone", "model": "base"}):
        said = client.post("/ip-adapter/encode", json=unit).json()["detail"]
        assert str(tmp_path) not in said
        assert "models/ip-adapter" in said
    assert str(tmp_path / "models/ip-adapter") in caplog.text


def test_the_version_is_told_with_the_fields_that_it_knows(client: TestClient) -> None:
    answer = client.get("/ip-adapter/version").json()
    assert answer["version"] == __version__
    assert {"image", "images", "embeds"} <= set(answer["fields"])


def test_the_cache_on_the_disk_is_cleared_only_when_that_is_asked_for(client: TestClient, tmp_path: Path) -> None:
    client.post("/ip-adapter/encode", json={"image": encoded(), "model": "base"})
    kept = list((tmp_path / "cache" / "ip-adapter").iterdir())
    assert len(kept) == 1
    assert "removed" not in client.post("/ip-adapter/unload").json()
    assert kept[0].is_file()
    assert client.post("/ip-adapter/unload?cache=true").json()["removed"] > 0
    assert not kept[0].exists()


def test_with_the_setting_at_zero_nothing_is_kept(webui: FakeWebUI, client: TestClient, tmp_path: Path) -> None:
    webui.opts.data["ip_adapter_cache_mb"] = 0
    client.post("/ip-adapter/encode", json={"image": encoded(), "model": "base"})
    assert not (tmp_path / "cache").exists()


def test_saving_from_the_page_writes_a_file_that_is_then_in_the_list(webui: FakeWebUI, tmp_path: Path) -> None:
    saved_prompts, a1111 = fresh("webui.saved_prompts"), fresh("hosts.a1111")
    values = [{"image": Image.new("RGB", (9, 9)), "model": "base", "scale": 0.0}.get(field.name) for field in FIELDS]
    assert saved_prompts.save("dusk", values, a1111.A1111Host()) == ["None", "dusk"]
    assert (tmp_path / "models/ip-adapter/prompts/dusk.safetensors").is_file()
    for name in ("dusk", " DUSK.safetensors"):
        with pytest.raises(Exception, match=r"called 'dusk' already; choose another name, or delete dusk\.safet"):
            saved_prompts.save(name, values, a1111.A1111Host())
    assert [entry["name"] for entry in fresh("webui.models").adapters([tmp_path / "models/ip-adapter"], None)] == [
        "base", "cut"
    ]  # fmt: skip


COMFY = {"the whole of it": "", "its models": "models"}


@pytest.mark.parametrize("given", COMFY)
def test_of_a_comfyui_its_two_folders_are_searched_and_nothing_else(
    given: str, webui: FakeWebUI, tmp_path: Path
) -> None:
    places = fresh("hosts.a1111_folders")
    home = tmp_path / "ComfyUI"
    for name in ("ipadapter", "clip_vision", "checkpoints"):
        (home / "models" / name).mkdir(parents=True)
    places.shared.cmd_opts.ip_adapter_dir = str(home / COMFY[given])
    assert places.adapter_folders()[0] == home / "models" / "ipadapter"
    assert places.encoder_folders()[0] == home / "models" / "clip_vision"
    searched = {*places.adapter_folders(), *places.encoder_folders()}
    assert searched.isdisjoint({home, home / "models"})


def test_any_other_folder_that_is_given_is_searched_itself(webui: FakeWebUI, tmp_path: Path) -> None:
    places = fresh("hosts.a1111_folders")
    places.shared.cmd_opts.ip_adapter_dir = places.shared.cmd_opts.ip_adapter_encoder_dir = str(tmp_path / "mine")
    assert places.adapter_folders()[0] == places.encoder_folders()[0] == tmp_path / "mine"


def test_a_folder_of_adapters_may_hold_their_encoders_in_clip_vision(webui: FakeWebUI, tmp_path: Path) -> None:
    places = fresh("hosts.a1111_folders")
    (tmp_path / "mine" / "clip_vision").mkdir(parents=True)
    places.shared.cmd_opts.ip_adapter_dir = str(tmp_path / "mine")
    assert places.adapter_folders()[0] == tmp_path / "mine"
    assert places.encoder_folders()[0] == tmp_path / "mine" / "clip_vision"


def test_no_answer_says_where_references_and_encoded_pictures_are_kept(webui: FakeWebUI, tmp_path: Path) -> None:
    places = fresh("hosts.a1111_folders")
    webui.opts.data["ip_adapter_reference_folder"] = "/somewhere/my references"
    said = places.without_folders(f"/somewhere/my references/a.png and {tmp_path}/cache/ip-adapter/b cannot be read")
    assert said == "my references/a.png and cache/ip-adapter/b cannot be read"


@pytest.mark.parametrize("reference", ["input", "whole folder"])
def test_what_is_no_picture_of_the_unit_is_not_saved_as_its_prompt(client: TestClient, reference: str) -> None:
    answer = client.post("/ip-adapter/encode", json={"model": "base", "reference": reference})
    assert (answer.status_code, f"reference is '{reference}'; set it to 'picture'" in answer.text) == (422, True)


def test_presets_are_saved_listed_and_deleted_by_name(client: TestClient) -> None:
    unit = {"model": "base [does not fit]", "scale": 0.4, "image": "not looked at"}
    assert client.put("/ip-adapter/presets", json={"name": "a/b é", "unit": unit}).json() == {"name": "a/b é"}
    found = client.get("/ip-adapter/presets").json()
    assert (found["a/b é"]["model"], found["a/b é"]["scale"]) == ("base", 0.4)
    assert client.delete("/ip-adapter/presets", params={"name": "a/b é"}).status_code == 200
    assert client.get("/ip-adapter/presets").json() == {}


def test_a_wrong_preset_is_a_sentence_with_a_status(client: TestClient) -> None:
    for body in ({"name": "", "unit": {}}, {"name": "a", "unit": {"scale": 9}}, {"name": "a", "unit": {"no": 1}}):
        answer = client.put("/ip-adapter/presets", json=body)
        assert answer.status_code == 422
        assert isinstance(answer.json()["detail"], str)
    missing = client.delete("/ip-adapter/presets", params={"name": "x"})
    assert (missing.status_code, "no preset called 'x'" in missing.json()["detail"]) == (404, True)
