"""What the README says is true: its payload is accepted, its table is `FIELDS`, its messages exist."""

from __future__ import annotations

import array
import ast
import base64
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.everyday import Everyday
from lib_ipadapter.session.unit.face import Face
from lib_ipadapter.session.unit.field import Type, fields_of
from lib_ipadapter.webui.api import parse_units
from tests.webui.test_api import encoded

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TABLE = README.split("## Message", 1)[1].split("\n## ", 1)[0]
MESSAGES = re.findall(r"^\| `(.+?)` \|", TABLE, re.MULTILINE)


def test_the_payload_is_accepted_as_it_stands() -> None:
    payload = json.loads(re.search(r"```json\n(.*?)```", README, re.DOTALL)[1])  # pyright: ignore
    units = payload["alwayson_scripts"]["IP-Adapter"]["args"]
    for unit in units:
        for name in ("image", "mask"):
            assert unit[name].endswith("base64,...")
            unit[name] = unit[name].replace("...", encoded())
    assert [unit.active for unit in parse_units(units)] == [True, True]


def test_the_python_sends_a_unit_and_keeps_the_picture_that_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []

    def post(url: str, json: Any) -> SimpleNamespace:
        sent.append((url, json))
        return SimpleNamespace(raise_for_status=lambda: None, json=lambda: {"images": [encoded()]})

    (tmp_path / "cat.png").write_bytes(base64.b64decode(encoded()))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "requests", SimpleNamespace(post=post))
    exec(re.search(r"```python\n(.*?)```", README, re.DOTALL)[1], {})  # pyright: ignore
    ((url, payload),) = sent
    assert url.endswith("/sdapi/v1/txt2img")
    assert [unit.active for unit in parse_units(payload["alwayson_scripts"]["IP-Adapter"]["args"])] == [True]
    assert (tmp_path / "snow.png").read_bytes() == (tmp_path / "cat.png").read_bytes()


def test_the_python_that_saves_a_prompt_asks_for_it_by_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def post(url: str, json: Any) -> SimpleNamespace:
        sent.append((url.removeprefix("http://127.0.0.1:7860"), json))
        return SimpleNamespace(json=lambda: {"embeds": "saved"})

    found: dict[str, Any] = {"requests": SimpleNamespace(post=post), "picture": encoded()}
    exec(re.findall(r"```python\n(.*?)```", README, re.DOTALL)[1], found)
    assert [unit.active for unit in parse_units([found["unit"]])] == [True]
    assert sent == [("/ip-adapter/encode", found["unit"])]
    assert [unit.active for unit in parse_units([found["saved"]])] == [True]


def test_the_number_of_units_is_what_the_webui_has_arguments_for() -> None:
    source = (ROOT / "lib_ipadapter" / "webui" / "settings.py").read_text(encoding="utf-8")  # importing takes a WebUI
    (units,) = map(int, re.findall(r"UNITS_AT_FIRST = (\d+)", source))
    assert f"up to {units * len(FIELDS)} of them" in README
    assert f"here {units} units of {len(FIELDS)} fields" in README


FACEID = (ROOT / "docs" / "faceid.md").read_text(encoding="utf-8")
UNITS = re.findall(r"```json\n(.*?)```", FACEID, re.DOTALL)
GIVEN = {"image": encoded(), "face": base64.b64encode(array.array("f", range(512)).tobytes()).decode()}


@pytest.mark.parametrize("text", UNITS)
def test_the_units_of_the_page_on_faces_are_accepted_as_they_stand(text: str) -> None:
    """But for the dots, which stand for content."""
    unit = json.loads(text)
    filled = {name: GIVEN[name] if str(value).endswith("...") else value for name, value in unit.items()}
    (parsed,) = parse_units([filled])
    parsed.check()
    assert parsed.active
    assert {name for name in unit if getattr(parsed, name) is None} == set()


def test_the_page_on_faces_shows_every_field_that_faces_have() -> None:
    shown = {name for text in UNITS for name in json.loads(text)}
    assert shown >= {field.name for field in fields_of(Face)}


@pytest.mark.parametrize("field", fields_of(Everyday), ids=lambda field: field.name)
def test_the_table_of_everyday_fields_is_that_of_the_code(field) -> None:
    shown = "" if field.default is None else f"`{json.dumps(field.default)}`"
    assert re.search(
        rf"^\| `{field.name}` \| *{re.escape(shown)} *\| {re.escape(field.about)} \|$", README, re.MULTILINE
    )
    if field.type is Type.NUMBER and field.name == "scale":
        assert f"`scale` goes from {field.minimum:g} to {field.maximum:g}" in README


def strings(path: Path) -> str:
    """Every string in a source file, the constant parts of f-strings joined."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts.append("".join(v.value if isinstance(v, ast.Constant) else "*" for v in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            parts.append(node.value)
    return "\n".join(parts)


@pytest.mark.parametrize("message", MESSAGES)
def test_every_message_of_the_table_is_one_that_the_code_says(message: str) -> None:
    said = "\n".join(strings(path) for path in (ROOT / "lib_ipadapter").rglob("*.py"))
    assert message in said


def test_there_are_messages_to_check() -> None:
    assert len(MESSAGES) >= 10


def test_every_route_is_in_the_readme() -> None:
    source = (ROOT / "lib_ipadapter" / "webui" / "routes.py").read_text(encoding="utf-8")  # importing takes a WebUI
    there = {
        f"{method} {path}" for method, path in re.findall(r'\("(GET|POST|PUT|DELETE)", "(/ip-adapter/\w+)", ', source)
    }
    assert there
    assert set(re.findall(r"^\| `([A-Z]+ /ip-adapter/\w+)` \|", README, re.MULTILINE)) == there


@pytest.mark.parametrize("path", re.findall(r"\]\(((?!http)[^)#]+)\)", README))
def test_what_the_readme_links_to_is_there(path: str) -> None:
    assert (ROOT / path).exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make (\w+)", README, re.MULTILINE))))
def test_every_make_target_of_the_readme_exists(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


LAYERS = (ROOT / "docs" / "layers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("payload", re.findall(r"```json\n(.*?)```", LAYERS, re.DOTALL))
def test_the_payloads_about_layers_are_accepted_as_they_stand(payload: str) -> None:
    (unit,) = parse_units([json.loads(payload.replace("base64,...", f"base64,{encoded()}"))])
    assert unit.active
    assert unit != Unit.parse({"image": unit.image, "model": unit.model})


def test_there_are_payloads_about_layers() -> None:
    assert len(re.findall("```json", LAYERS)) == 5
