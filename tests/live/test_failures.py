"""A failure is one plain sentence, with an error status, in the answer and in the log."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.live import models
from tests.live.client import Client, Json, Refused
from tests.live.host import WebUI
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

NOT_A_PICTURE = base64.b64encode(b"GIF89a, but no more than that").decode()

FAILURES: dict[str, tuple[Json, str]] = {
    "no such model": ({"model": "no-such-model"}, "There is no IP-Adapter model called 'no-such-model'"),
    "no model": ({"model": None}, "without a model"),
    "no picture": ({"image": None}, "without a reference picture"),
    "empty picture": ({"image": ""}, "without a reference picture"),
    "not a picture": ({"image": NOT_A_PICTURE}, "not a picture that can be read"),
    "not base64": ({"image": "a*b"}, "must be a picture in base64"),
    "a path": ({"image": "/etc/hostname"}, "base64"),
    "an address": ({"image": "http://127.0.0.1/picture.png"}, "not a path or an address"),
    "text of another width": ({"model": models.WRONG_WIDTH}, "96 wide, the checkpoint's is 64 wide"),
    "another family": ({"model": models.WRONG_FAMILY}, "it is for SDXL, the checkpoint is SD1.5"),
    "no encoder": ({"model": models.NO_ENCODER}, "No image encoder for this adapter"),
    "unknown field": ({"weight": 1.0}, "has no field 'weight'"),
    "a word for a number": ({"scale": "strong"}, "scale must be a number from 0 to 2, got 'strong'"),
    "a number out of range": ({"start": 1.5}, "start must be a number from 0 to 1, got 1.5"),
    "a list for a picture": ({"image": [1, 2]}, "image must be a picture in base64, got list"),
    "a number for a model": ({"model": 3}, "model must be the name of an adapter, got 3"),
    "a word for a switch": ({"enabled": "perhaps"}, "enabled must be true or false, got 'perhaps'"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_sentence_in_the_answer_and_the_log(
    name: str, webui: WebUI, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    changes, sentence = FAILURES[name]
    so_far = len(webui.log)
    with pytest.raises(Refused) as refused:
        client.txt2img([unit(**changes)])
    assert refused.value.status == 422
    assert sentence in refused.value.detail
    assert "\n" not in refused.value.detail
    # The log has whole paths, the answer what is below the WebUI's folder.
    assert webui.log[so_far:].count(sentence) == 1
    assert "Traceback" not in webui.log[so_far:]
    assert probe.hooks() == []


@pytest.mark.parametrize("name", ["no such model", "not a picture", "another family", "no encoder", "unknown field"])
def test_with_the_setting_the_picture_is_made_and_says_so(
    name: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """The plain picture, and in its parameters the sentence and no claim that the adapter acted."""
    changes, sentence = FAILURES[name]
    plain = client.txt2img()
    with client.settings(ip_adapter_go_on=True):
        made = client.txt2img([unit(**changes)])
    assert np.array_equal(made.picture, plain.picture)
    assert "IP-Adapter error: " in made.infotext
    assert sentence in made.infotext
    assert "IP-Adapter 1" not in made.infotext
    assert probe.hooks() == []


def test_a_run_after_a_failure_is_plain(client: Client, unit: MakeUnit) -> None:
    plain = client.txt2img()
    with pytest.raises(Refused):
        client.txt2img([unit(model="no-such-model")])
    after = client.txt2img()
    assert np.array_equal(after.picture, plain.picture)
    assert "IP-Adapter" not in after.infotext


def test_one_failing_unit_stops_the_job_even_beside_a_good_one(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with pytest.raises(Refused):
        client.txt2img([unit(), unit(model="no-such-model")])
    assert probe.hooks() == []


def test_a_disabled_unit_may_hold_anything(client: Client, unit: MakeUnit) -> None:
    made = client.txt2img([unit(enabled=False, model="no-such-model", image="/etc/hostname", curve="half writ")])
    assert "IP-Adapter" not in made.infotext


@pytest.fixture
def damaged(models_dir: Path) -> Callable[[bytes], str]:
    """Puts a file among the adapters: bytes -> name."""

    def put(content: bytes) -> str:
        (models_dir / "ip-adapter" / "damaged.safetensors").write_bytes(content)
        return "damaged"

    return put


@pytest.mark.parametrize(
    "content",
    [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"],
    ids=["empty", "a web page", "a git-lfs pointer"],
)
def test_a_damaged_file_is_a_sentence(
    content: bytes, client: Client, unit: MakeUnit, damaged: Callable[[bytes], str], models_dir: Path
) -> None:
    name = damaged(content)
    try:
        with pytest.raises(Refused) as refused:
            client.txt2img([unit(model=name)])
    finally:
        (models_dir / "ip-adapter" / "damaged.safetensors").unlink()
    assert refused.value.status == 422
    assert "damaged" in refused.value.detail
