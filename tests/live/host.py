"""A WebUI that is already installed, started for these tests in a data folder of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ports import free_port

READY = "Startup time:"
"""The WebUI prints this once every route, also those of extensions, answers; again after each Reload UI."""

PATIENCE = 180
"""Seconds until a WebUI that has not started is given up."""

ARGUMENTS = (
    *("--skip-prepare-environment", "--skip-python-version-check", "--skip-torch-cuda-test", "--skip-version-check"),
    *("--use-cpu", "all", "--no-half", "--no-half-vae", "--api", "--server-name", "127.0.0.1"),
    *("--no-download-sd-model", "--do-not-download-clip", "--disable-console-progressbars"),
)

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "GRADIO_ANALYTICS_ENABLED": "False",
    "SD_WEBUI_RESTARTING": "1",  # opens no browser
    "OMP_NUM_THREADS": "1",  # small models gain nothing from threads
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Installed:
    """The WebUI on this machine."""

    home: Path
    python: Path

    @classmethod
    def find(cls) -> Installed | None:
        """As WEBUI_DIR and WEBUI_PYTHON say."""
        if not (home := os.environ.get("WEBUI_DIR")):
            return None
        found = [Path(home, "venv", *place) for place in (("bin", "python"), ("Scripts", "python.exe"))]
        own = next((path for path in found if path.exists()), found[0])
        return cls(Path(home).resolve(), Path(os.environ.get("WEBUI_PYTHON") or own))


@dataclass(frozen=True)
class Setup:
    """What a WebUI is started with."""

    folder: Path
    """Its data folder; emptied first."""
    models: Path
    extensions: Mapping[str, Path] = field(default_factory=dict)
    """Name under which it is linked, which decides the order of loading -> folder."""
    options: Mapping[str, Any] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass
class WebUI:
    """A running WebUI."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> str:
        """Everything it has printed."""
        return (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")

    def wait_until_ready(self, times: int = 1) -> None:
        """Until it has said `times` times that it is ready."""
        until = time.monotonic() + PATIENCE
        while self.log.count(READY) < times:
            if self.process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"the WebUI did not start; its log ends\n{self.log[-3000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it and whatever it has started."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


@contextmanager
def running(installed: Installed, setup: Setup) -> Iterator[WebUI]:
    """A WebUI, ready, as long as entered."""
    prepare(setup)
    port = free_port()
    command = [str(installed.python), "launch.py", *ARGUMENTS, "--port", str(port)]
    command += ["--data-dir", str(setup.folder), "--models-dir", str(setup.models), *setup.arguments]
    with (setup.folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=installed.home,
            env={**os.environ, **ENVIRONMENT, **setup.environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        webui = WebUI(f"http://127.0.0.1:{port}", setup.folder, process)
        try:
            webui.wait_until_ready()
            yield webui
        finally:
            webui.stop()


def prepare(setup: Setup) -> None:
    shutil.rmtree(setup.folder, ignore_errors=True)
    extensions = setup.folder / "extensions"
    extensions.mkdir(parents=True)
    for name, target in setup.extensions.items():
        (extensions / name).symlink_to(target, target_is_directory=True)
    (setup.folder / "config.json").write_text(json.dumps(dict(setup.options)), encoding="utf-8")
