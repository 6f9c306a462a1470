"""docs/features.md is what the examples say, and each of its payloads does something."""

from __future__ import annotations

import json
import re

import pytest

from lib_ipadapter.webui.api import parse_units
from pocket.examples import EXAMPLES
from pocket.examples.example import filled
from pocket.features import SHEETS, TEXT, page
from pocket.studio import Studio
from tests.hosts.originals import NUMPY

pytestmark = pytest.mark.filterwarnings(NUMPY)

PAYLOADS = re.findall(r"```json\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
STEPS = 3


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio()


def test_the_page_is_what_the_command_writes() -> None:
    assert TEXT.read_text(encoding="utf-8") == page()


def test_every_example_has_a_name_of_its_own_and_its_picture_is_there() -> None:
    names = [example.name for example in EXAMPLES]
    assert len(set(names)) == len(names)
    shown = {*(SHEETS / f"{name}.png" for name in names)}
    shown |= {SHEETS / "pictures" / name for example in EXAMPLES for name in example.pictures}
    assert shown == {*SHEETS.rglob("*.png")}


@pytest.mark.parametrize("text", PAYLOADS, ids=[example.name for example in EXAMPLES])
def test_each_payload_is_taken_and_changes_the_picture(studio: Studio, text: str) -> None:
    payload = json.loads(filled(text))
    units = parse_units(payload["alwayson_scripts"]["IP-Adapter"]["args"])
    plain = studio.latents(payload["prompt"], 4, num_inference_steps=STEPS)
    found = studio.latents(payload["prompt"], 4, *units, num_inference_steps=STEPS)
    assert (found - plain).abs().max() > 0.01
