"""The house rules hold, and each of them can fail."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.house import (
    PACKAGE,
    Source,
    climbs,
    deeds_at_import,
    hidden_state,
    leftovers,
    misplaced,
    module_containers,
    mutable_classes,
    sources,
    strangers,
    too_long,
    too_many_positional,
    undocumented,
    workshop,
)

ROOT = Path(__file__).parents[1]

Rule = Callable[[Source], list[str]]


@cache
def house() -> list[Source]:
    return sources(ROOT)


@cache
def names_in_the_house() -> tuple[set[str], set[str]]:
    return mutable_classes(house()), module_containers(house())


def no_hidden_state(source: Source) -> list[str]:
    classes, containers = names_in_the_house()
    return hidden_state(source, classes | mutable_classes([source]), containers | module_containers([source]))


RULES: list[Rule] = [
    climbs,
    strangers,
    misplaced,
    too_long,
    too_many_positional,
    deeds_at_import,
    no_hidden_state,
    leftovers,
]


WORKSHOP_RULES: list[Rule] = [too_long, too_many_positional, deeds_at_import, leftovers, undocumented]
"""What holds for the pocket model's code as well. It is on no floor, and may remember what it has drawn."""


@pytest.mark.parametrize("rule", WORKSHOP_RULES, ids=lambda rule: rule.__name__)
def test_the_workshop_keeps_the_rules_of_size_and_order(rule: Rule) -> None:
    found = workshop(ROOT)
    assert len(found) > 10
    assert [place for source in found for place in rule(source)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_house_keeps_its_rule(rule: Rule) -> None:
    assert [place for source in house() for place in rule(source)] == []


def test_everything_public_in_the_package_has_a_docstring() -> None:
    assert [place for source in house() if source.path.startswith(PACKAGE) for place in undocumented(source)] == []


def test_there_is_one_script_for_the_webui_runs_them_all() -> None:
    assert [path.name for path in (ROOT / "scripts").rglob("*.py")] == ["ip_adapter.py"]


def test_every_floor_that_has_a_room_is_looked_at() -> None:
    rooms = {source.room for source in house()}
    assert rooms >= {"maths", "model", "patch", "session", "hosts", "webui", "cli"}
    folders = {path.name for path in (ROOT / PACKAGE).iterdir() if any(path.glob("*.py"))}
    assert folders <= rooms, "a room without a floor"


MATHS, PATCH, SESSION = (f"{PACKAGE}/{room}/bad.py" for room in ("maths", "patch", "session"))
WEBUI, CLI, SCRIPT = f"{PACKAGE}/webui/bad.py", f"{PACKAGE}/cli/bad.py", "scripts/bad.py"

BROKEN: list[tuple[Rule, str, str]] = [
    (climbs, MATHS, "from lib_ipadapter.model.variant import Variant"),
    (climbs, MATHS, "import lib_ipadapter.session.unit"),
    (climbs, PATCH, "def f():\n    from lib_ipadapter.hosts import a1111"),
    (climbs, PATCH, "from ..session import unit"),
    (climbs, PATCH, "if TYPE_CHECKING:\n    from lib_ipadapter import session"),
    (climbs, WEBUI, "from lib_ipadapter.cli import app"),
    (climbs, PATCH, "from lib_ipadapter.webui import panel"),
    (strangers, MATHS, "import numpy as np"),
    (strangers, MATHS, "from jaxtyping import Float"),
    (strangers, PATCH, "import transformers"),
    (strangers, SESSION, "def f():\n    import requests.sessions"),
    (misplaced, SESSION, "from modules import shared"),
    (misplaced, f"{PACKAGE}/hosts/diffusers.py", "import modules.shared"),
    (misplaced, f"{PACKAGE}/hosts/a1111.py", "import gradio as gr"),
    (misplaced, CLI, "from diffusers import UNet2DConditionModel"),
    (misplaced, "install.py", "import gradio"),
    (too_long, MATHS, "\n" * 301),
    (too_long, SCRIPT, "\n" * 81),
    (too_long, MATHS, "class A:\n    def f(self):" + "\n        pass" * 40),
    (too_many_positional, MATHS, "def f(a, b, c, d, e, g): ..."),
    (too_many_positional, MATHS, "class A:\n    def f(self, a, b, /, c, d, e, g=1): ..."),
    (deeds_at_import, CLI, "print('hello')"),
    (deeds_at_import, CLI, "for x in range(3):\n    pass"),
    (deeds_at_import, CLI, "NAMES = []\nNAMES += ['a']"),
    (no_hidden_state, MATHS, "def f():\n    global x\n    x = 1"),
    (no_hidden_state, MATHS, "import functools\n@functools.lru_cache(maxsize=3)\ndef f(): ..."),
    (no_hidden_state, MATHS, "from functools import cache\n@cache\ndef f(): ..."),
    (no_hidden_state, MATHS, "SEEN = []\ndef f():\n    SEEN.append(1)"),
    (no_hidden_state, MATHS, "SEEN: dict[str, int] = {}\ndef f():\n    SEEN['a'] = 1"),
    (no_hidden_state, MATHS, "SEEN = weakref.WeakKeyDictionary()\ndef f():\n    del SEEN['a']"),
    (no_hidden_state, MATHS, "SEEN = set()\ndef f():\n    from lib_ipadapter import other\n    other.SEEN.add(1)"),
    (no_hidden_state, MATHS, "class A:\n    seen = []\n    def f(self):\n        self.seen.append(1)"),
    (no_hidden_state, MATHS, "class A:\n    def __init__(self): ...\nONE = A()"),
    (no_hidden_state, SESSION, "from lib_ipadapter.session.library import Library\nLIBRARY = Library()"),
    (undocumented, MATHS, "x = 1"),
    (undocumented, MATHS, "'''Says.'''\ndef f(): ..."),
    (undocumented, MATHS, "'''Says.'''\nclass A: ..."),
    (leftovers, MATHS, "x = 1  # TO" + "DO: more"),
    (leftovers, MATHS, "'''FIX" + "ME'''"),
]


@pytest.mark.parametrize(("rule", "path", "text"), BROKEN)
def test_a_rule_notices_when_it_is_broken(rule: Rule, path: str, text: str) -> None:
    assert len(rule(Source(path, text))) == 1


KEPT: list[tuple[Rule, str, str]] = [
    (climbs, PATCH, "from lib_ipadapter.maths import attention\nfrom lib_ipadapter.errors import HostError"),
    (climbs, PATCH, "from lib_ipadapter.patch.layers import why_not\nfrom . import layers"),
    (strangers, f"{PACKAGE}/maths/shapes.py", "from jaxtyping import Float"),
    (strangers, MATHS, "import math, torch.nn\nfrom __future__ import annotations"),
    (misplaced, SCRIPT, "from modules import scripts"),
    (misplaced, f"{PACKAGE}/hosts/diffusers_checkpoint.py", "import diffusers"),
    (too_long, MATHS, "\n" * 300),
    (too_long, MATHS, "def f():" + "\n    pass" * 39),
    (too_many_positional, MATHS, "class A:\n    def f(self, a, b, c, d, e, *, g, h): ..."),
    (deeds_at_import, CLI, "'''Says.'''\nX = f()\nassert X\nif X:\n    import a"),
    (deeds_at_import, SCRIPT, "script_callbacks.on_ui_settings(f)"),
    (no_hidden_state, MATHS, "SEEN = {}\ndef f(x):\n    seen = []\n    seen.append(x)\n    return SEEN.get(x)"),
    (no_hidden_state, MATHS, "SEEN = {}\ndef f(SEEN):\n    SEEN['a'] = 1"),
    (no_hidden_state, MATHS, "@dataclass(frozen=True)\nclass A: ...\nONE = A()"),
    (no_hidden_state, f"{PACKAGE}/session/library.py", "LIBRARY = Library()"),
    (undocumented, MATHS, "'''Says.'''\ndef _f(): ...\nclass A:\n    '''Says.'''\n    def g(self): ..."),
]


@pytest.mark.parametrize(("rule", "path", "text"), KEPT)
def test_a_rule_says_nothing_when_it_is_kept(rule: Rule, path: str, text: str) -> None:
    assert rule(Source(path, text)) == []
