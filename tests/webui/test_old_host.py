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
