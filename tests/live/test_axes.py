"""X/Y/Z plots over a unit's fields, as the WebUI's own script makes them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pocket.examples import EXAMPLES
from tests.live import models, pictures
from tests.live.client import Answer, Client, Refused, encode
from tests.live.conftest import OPTIONS, REFERENCES
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

SCRIPT = "x/y/z plot"
REST = [False, True, False, False, False, False, False, 0, False]
"""No legend, but each picture by itself; then everything at its default."""

OTHER = "other, with a comma"


@pytest.fixture(scope="module", autouse=True)
def references() -> None:
    REFERENCES.mkdir(parents=True, exist_ok=True)
    pictures.reference().save(REFERENCES / "usual.png")
    pictures.reference(160, 224).rotate(90).save(REFERENCES / f"{OTHER}.png")


def axes(client: Client) -> list[str]:
    """Their labels, in the order by which a request names them."""
    info = next(one for one in client.get("/sdapi/v1/script-info") if one["name"] == SCRIPT and not one["is_img2img"])
    return info["args"][0]["choices"]


def axis(client: Client, label: str, values: Sequence[Any], words: bool) -> list[Any]:
    """Three arguments of the script; `words`: values are chosen from a list."""
    index = axes(client).index(f"[IP-Adapter] {label}")
    return [index, "" if words else ", ".join(map(str, values)), list(values) if words else []]


NOTHING = [0, "", []]


def grid(client: Client, units: Sequence[Any], x: list[Any], y: list[Any] = NOTHING) -> Answer:
    return client.txt2img(units, script_name=SCRIPT, script_args=[*x, *y, *NOTHING, *REST])


def test_a_grid_of_scales_by_models_has_the_pictures_that_requests_make(client: Client, unit: MakeUnit) -> None:
    scales, names = [0.75, 0.0, 1.5], [models.BASE, models.PLUS]
    made = grid(
        client,
        [unit(scale=0.1)],
        axis(client, "Unit 1 Scale", scales, False),
        axis(client, "Unit 1 Model", names, True),
    )
    cells = [(scale, name) for name in names for scale in scales]
    assert len(made.pictures) == 1 + len(cells)
    for picture, infotext, (scale, name) in zip(made.pictures[1:], made.info["infotexts"][1:], cells, strict=True):
        wanted = client.txt2img([unit(scale=scale, model=name)])
        assert np.array_equal(picture, wanted.picture)
        assert ("IP-Adapter" in infotext) == (scale > 0)
        assert not scale or f"model: {name}, scale: {scale}" in infotext


def test_a_grid_of_reference_files_has_the_pictures_of_these(client: Client, unit: MakeUnit) -> None:
    made = grid(client, [unit(image=None)], axis(client, "Unit 1 Reference file", ["usual", OTHER], True))
    others = [pictures.reference(), pictures.reference(160, 224).rotate(90)]
    for picture, reference in zip(made.pictures[1:], others, strict=True):
        assert np.array_equal(picture, client.txt2img([unit(image=encode(reference))]).picture)


def test_the_payload_in_the_docs_makes_a_plot(client: Client, unit: MakeUnit) -> None:
    """Each number put where an axis's label stands, and a unit of this model in the place of the pocket one's."""
    (example,) = (one for examples in EXAMPLES.values() for one in examples if one.name == "plot")
    text = json.dumps(dict(example.job))
    script = json.loads(re.sub(r'"<number of (.+?)>"', lambda match: str(axes(client).index(match[1])), text))
    made = client.txt2img([unit()], **script)
    cells = [{"scale": scale, "weight_type": kind} for kind in ("linear", "ease in") for scale in (0.4, 0.8)]
    assert len(made.pictures) == 1, "the plot alone, with its legend"
    script["script_args"][9:11] = [False, True]
    made = client.txt2img([unit()], **script)
    for picture, cell in zip(made.pictures[1:], cells, strict=True):
        assert np.array_equal(picture, client.txt2img([unit(**cell)]).picture)


@pytest.mark.parametrize(
    ("label", "values", "words", "said"),
    [
        ("Unit 1 Scale", [0.5, 9], False, "scale must be a number from 0 to 2"),
        ("Unit 1 Model", ["no such"], True, "no IP-Adapter model called 'no such'"),
        ("Unit 1 Reference file", ["/etc/hostname"], True, "no reference picture called"),
        ("Unit 2 Scale", [0.5], False, "no IP-Adapter unit 2"),
    ],
)
def test_a_wrong_value_is_said_before_a_picture_is_made(
    label: str, values: list[Any], words: bool, said: str, *, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with probe.recording() as seen, pytest.raises(Refused, match=said):
        grid(client, [unit()], axis(client, label, values, words))
    assert seen.calls == []


def test_the_folder_of_references_cannot_be_set_over_the_api(client: Client, unit: MakeUnit) -> None:
    client.post("/sdapi/v1/options", {"ip_adapter_reference_folder": "/etc"})
    assert client.get("/sdapi/v1/options").get("ip_adapter_reference_folder") in (
        None,
        OPTIONS["ip_adapter_reference_folder"],
    )
    changed = {"override_settings": {"ip_adapter_reference_folder": str(REFERENCES.parent)}}
    choose = axis(client, "Unit 1 Reference file", ["references/usual"], True)
    with pytest.raises(Refused, match="no reference picture called"):
        client.txt2img([unit()], script_name=SCRIPT, script_args=[*choose, *NOTHING, *NOTHING, *REST], **changed)


def test_each_axis_is_there_once(client: Client) -> None:
    labels = [label for label in axes(client) if label.startswith("[IP-Adapter]")]
    assert len(labels) == len(set(labels)) >= 3 * 5
