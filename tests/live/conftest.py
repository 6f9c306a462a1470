"""The WebUIs that the live tests speak to. They take seconds to start, so each is started once and shared."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.browser import opened_browser
from tests.live import models, pictures
from tests.live.client import Client
from tests.live.host import Installed, Setup, WebUI, running
from tests.live.probe_client import Probe

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / "outputs" / "live"
"""Everything that these tests write: models (kept), data folders with logs, screenshots. Ignored by git.

No folder on the way has a name with a dot in front: gradio would refuse to serve files from it.
"""

PROBE = Path(__file__).with_name("probe")

REFERENCES = HOME / "references"
"""Pictures for X/Y/Z plots, by name."""

OPTIONS = {
    "ip_adapter_reference_folder": str(REFERENCES),
    "sd_model_checkpoint": models.TINY,
    "show_progress_type": "Approx cheap",  # the default's model for SDXL would be downloaded
}

MEASURED = pytest.StashKey[list[str]]()


@pytest.fixture(scope="session")
def installed() -> Installed:
    found = Installed.find()
    if found is None:
        pytest.skip("WEBUI_DIR is not set; it names the folder of an installed WebUI 1.10")
    return found


@pytest.fixture(scope="session")
def controlnet_dir() -> Path:
    if not (folder := os.environ.get("CONTROLNET_DIR")):
        pytest.skip("CONTROLNET_DIR is not set; it names the folder of an installed sd-webui-controlnet")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def models_dir(installed: Installed) -> Path:
    return models.made(HOME, installed.home, installed.python)


@pytest.fixture(scope="session")
def make_setup(models_dir: Path) -> Callable[..., Setup]:
    """``make_setup(name, extensions, ...)``."""

    def setup(name: str, extensions: dict[str, Path], **more: object) -> Setup:
        options = {**OPTIONS, **more.pop("options", {})}
        return Setup(HOME / name, models_dir, extensions, options, **more)

    return setup


@pytest.fixture(scope="session")
def webui(installed: Installed, make_setup: Callable[..., Setup]) -> Iterator[WebUI]:
    """With the extension, and the probe, and nothing else."""
    with running(installed, make_setup("webui", {"sd-webui-ip-adapter": ROOT, "zz-probe": PROBE})) as webui:
        yield webui


@pytest.fixture(scope="session")
def bare(installed: Installed, make_setup: Callable[..., Setup]) -> Iterator[Client]:
    """A WebUI without the extension."""
    with running(installed, make_setup("bare", {}, arguments=["--nowebui"])) as webui:
        yield Client(webui.url)


@pytest.fixture
def client(webui: WebUI) -> Client:
    return Client(webui.url)


@pytest.fixture
def probe(client: Client) -> Probe:
    return Probe(client)


@pytest.fixture(scope="session")
def reference() -> Image.Image:
    return pictures.reference()


@pytest.fixture(scope="session")
def unit(reference: Image.Image) -> pictures.MakeUnit:
    return pictures.unit_maker(reference)


@pytest.fixture(scope="session", params=["ControlNet first", "IP-Adapter first"])
def both_orders(
    request: pytest.FixtureRequest, installed: Installed, controlnet_dir: Path, make_setup: Callable[..., Setup]
) -> Iterator[Client]:
    """A WebUI with ControlNet, whose scripts come before ours, and one where they come after."""
    name = {"ControlNet first": "z-ip-adapter", "IP-Adapter first": "a-ip-adapter"}[request.param]
    with running(installed, controlnet_setup(make_setup, name, controlnet_dir)) as webui:
        yield Client(webui.url)


@pytest.fixture(scope="session")
def beside_controlnet(installed: Installed, controlnet_dir: Path, make_setup: Callable[..., Setup]) -> Iterator[Client]:
    """A WebUI with ControlNet, for comparisons."""
    with running(installed, controlnet_setup(make_setup, "sd-webui-ip-adapter", controlnet_dir)) as webui:
        yield Client(webui.url)


def controlnet_setup(make_setup: Callable[..., Setup], name: str, controlnet: Path) -> Setup:
    """With ControlNet, for which the probe makes the encoder as small as the suite's."""
    setup = make_setup(
        f"with-controlnet-{name}",
        {"sd-webui-controlnet": controlnet, name: ROOT, "zz-probe": PROBE},
        environment={"IP_ADAPTER_PROBE_CLIP": json.dumps(models.CLIP)},
    )
    annotators = str(setup.models / "annotators")
    return replace(setup, arguments=["--controlnet-annotator-models-path", annotators])


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with opened_browser() as browser:
        yield browser


@pytest.fixture
def open_page(browser: Any, webui: WebUI) -> Iterator[Callable[..., Any]]:
    """``open_page(tab, theme, size, before)``, the last being a script that runs before the page's own.

    Requests to anywhere else are refused, as on a machine without network.
    """
    from tests.live.page import DESKTOP, PATIENCE, Page

    contexts, failures = [], []

    def open_page(tab: str = "txt2img", theme: str = "dark", size: Any = DESKTOP, before: str = "") -> Page:
        context = browser.new_context(viewport=size)
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        context.route(lambda url: not url.startswith((webui.url, "data:", "blob:")), lambda route: route.abort())
        page = context.new_page()
        page.add_init_script(before)
        page.on("pageerror", lambda error: failures.append(f"{error}\n{error.stack}"))
        return Page(page, tab).open(f"{webui.url}/?__theme={theme}")

    yield open_page
    for context in contexts:
        context.close()
    assert not [failure for failure in failures if "ip_adapter" in failure.lower()]


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """``measured(what, number)``: printed at the end of the run."""

    def note(what: str, number: object) -> None:
        request.config.stash.setdefault(MEASURED, []).append(f"{what}: {number}")

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(MEASURED, []):
        terminalreporter.section("measured")
        terminalreporter.write_line("\n".join(sorted(lines)))
