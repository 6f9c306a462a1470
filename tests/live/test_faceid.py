"""FaceID in the WebUI, with a ready-made face: the LoRA inside the file acts while the unit acts, and is gone after."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from tests.live import models
from tests.live.client import Client, Json, Refused, difference
from tests.live.probe_client import Probe

FACE = [math.sin(n) for n in range(512)]
"""As the API takes an embedding."""


SDXL = {"override_settings": {"sd_model_checkpoint": models.SDXL}}
USUAL = {"override_settings": {"sd_model_checkpoint": models.TINY}}


def faceid(**changes: object) -> Json:
    return {"model": models.FACEID, "face": FACE, "scale": 1.0, **changes}


def test_a_face_and_the_lora_beside_it_steer_and_nothing_is_left(
    client: Client, probe: Probe, measured: Callable[..., None]
) -> None:
    plain, before = client.txt2img().picture, probe.digest()
    made = {scale: client.txt2img([faceid(lora_scale=scale)]).picture for scale in (0.0, 1.0)}
    for scale, picture in made.items():
        measured(f"FaceID, lora_scale {scale:g}: largest difference to the plain picture", difference(picture, plain))
        assert difference(picture, plain) > 5
    assert difference(made[0.0], made[1.0]) > 5
    assert probe.hooks() == []
    assert probe.digest() == before
    assert np.array_equal(client.txt2img().picture, plain)


def test_the_lora_acts_only_within_the_units_steps(client: Client) -> None:
    plain = client.txt2img().picture
    assert np.array_equal(client.txt2img([faceid(start=1.0)]).picture, plain)
    assert np.array_equal(client.txt2img([faceid(scale=0.0)]).picture, plain)
    late, whole = (client.txt2img([faceid(start=start)]).picture for start in (0.4, 0.0))
    assert difference(late, whole) > 5


def test_another_face_is_another_picture(client: Client) -> None:
    one, other = (client.txt2img([faceid(face=face)]).picture for face in (FACE, FACE[::-1]))
    assert difference(one, other) > 5


def test_on_sdxl_a_face_and_its_lora_steer_and_nothing_is_left(
    client: Client, probe: Probe, measured: Callable[..., None]
) -> None:
    try:
        plain, before = client.txt2img(**SDXL).picture, probe.digest()
        made = {
            scale: client.txt2img([faceid(model=models.SDXL_FACEID, lora_scale=scale)], **SDXL).picture
            for scale in (0.0, 1.0)
        }
        for scale, picture in made.items():
            measured(
                f"FaceID on SDXL, lora_scale {scale:g}: largest difference to the plain", difference(picture, plain)
            )
            assert difference(picture, plain) > 5
        assert difference(made[0.0], made[1.0]) > 5
        assert probe.hooks() == []
        assert probe.digest() == before
        assert np.array_equal(client.txt2img(**SDXL).picture, plain)
    finally:  # other files find the usual checkpoint
        client.txt2img(**USUAL)


def test_a_full_face_adapter_takes_a_picture_as_it_is(client: Client, unit: Callable[..., Json]) -> None:
    plain, made = client.txt2img().picture, client.txt2img([unit(model=models.FULL)]).picture
    assert difference(made, plain) > 5
    assert np.array_equal(client.txt2img([unit(model=models.FULL, start=1.0)]).picture, plain)


def test_without_insightface_a_picture_gets_a_sentence(client: Client, unit: Callable[..., Json]) -> None:
    with pytest.raises(Refused) as refused:
        client.txt2img([unit(model=models.FACEID)])
    assert refused.value.status == 422
    assert "insightface" in refused.value.detail
