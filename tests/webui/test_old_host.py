"""A WebUI that lacks what the script is made for is told so, in place of a panel that does nothing."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "ip_adapter.py"


def test_a_webui_older_than_1_10_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    modules = ModuleType("modules")
    vars(modules).update(scripts=SimpleNamespace(Script=type("Script", (), {})), script_callbacks=SimpleNamespace())
    monkeypatch.setitem(sys.modules, "modules", modules)
    with pytest.raises(ImportError, match=r"IP-Adapter needs version 1\.10 of the WebUI or a newer one"):
        runpy.run_path(str(SCRIPT))


def test_a_torch_older_than_2_1_is_told_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As the WebUI installs on Intel Arc."""
    modules, torch = ModuleType("modules"), ModuleType("torch")
    new = type("Script", (), {"process_before_every_sampling": None})
    vars(modules).update(scripts=SimpleNamespace(Script=new), script_callbacks=SimpleNamespace())
    vars(torch).update(Tensor=object, __version__="2.0.1")
    monkeypatch.setitem(sys.modules, "modules", modules)
    monkeypatch.setitem(sys.modules, "torch", torch)
    with pytest.raises(ImportError, match=r"IP-Adapter needs torch 2\.1 or newer, and this is 2\.0\.1; update"):
        runpy.run_path(str(SCRIPT))
