"""docs/features.md is what the examples say, and each of its payloads does something."""

from __future__ import annotations

import json
import re

import pytest

from lib_ipadapter.session.unit import TOPICS, Unit
from lib_ipadapter.webui.api import parse_units
from pocket.examples import EXAMPLES
from pocket.examples.example import Example, filled
from pocket.features import SHEETS, TEXT, page
from pocket.studio import Studio
from tests.hosts.originals import NUMPY

pytestmark = pytest.mark.filterwarnings(NUMPY)

ALL = [example for examples in EXAMPLES.values() for example in examples]
PAYLOADS = re.findall(r"```json\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
STEPS = 3


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


def test_the_page_is_what_the_command_writes() -> None:
    assert TEXT.read_text(encoding="utf-8") == page()


def test_every_example_has_a_name_of_its_own_and_its_picture_is_there() -> None:
    names = [example.name for example in ALL]
    assert len(set(names)) == len(names)
    shown = {SHEETS / f"{example.name}.png" for example in ALL if example.drawn}
    shown |= {SHEETS / "pictures" / name for example in ALL for name in example.pictures}
    assert shown == {*SHEETS.rglob("*.png")}


def test_every_topic_has_an_example() -> None:
    assert list(EXAMPLES) == list(TOPICS)
    assert all(EXAMPLES.values())
    assert len(PAYLOADS) == len(ALL)


def units_of(text: str) -> list[Unit]:
    return parse_units(json.loads(filled(text))["alwayson_scripts"]["IP-Adapter"]["args"])


@pytest.mark.parametrize("text", PAYLOADS, ids=[example.name for example in ALL])
def test_each_payload_is_taken(text: str) -> None:
    assert all(unit.active for unit in units_of(text))


@pytest.mark.parametrize("example", [one for one in ALL if one.drawn], ids=lambda example: example.name)
def test_each_payload_that_is_drawn_changes_the_picture(studio: Studio, example: Example) -> None:
    text = PAYLOADS[ALL.index(example)]
    plain = studio.latents(example.prompt, example.seed, num_inference_steps=STEPS)
    found = studio.latents(example.prompt, example.seed, *units_of(text), num_inference_steps=STEPS)
    assert (found - plain).abs().max() > 0.01
