"""Each picture of a job has a reference of its own; a picture that was encoded by a route draws the same."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.live import models
from tests.live.client import HIRES, Client, Json, Refused, difference, encode
from tests.live.pictures import MakeUnit, reference

CASES: dict[str, Json] = {
    "batch count 2 of 2": {"batch_size": 2, "n_iter": 2},
    "with AND": {"batch_size": 2, "n_iter": 2, "prompt": "a cat AND a house :0.5"},
    "hires fix": {"batch_size": 2, "n_iter": 1, **HIRES},
}


@pytest.mark.parametrize("case", CASES)
def test_each_picture_of_a_job_has_a_reference_of_its_own(case: str, client: Client, unit: MakeUnit) -> None:
    others = [encode(reference().rotate(turn)) for turn in (90, 180)]
    many = unit(images=others, combine="batch", scale=1.0)
    found = pictures_of(client, many, CASES[case])
    for number, own in enumerate([unit(scale=1.0), *(unit(image=other, scale=1.0) for other in others)]):
        alone = pictures_of(client, own, CASES[case])
        assert all(difference(found[i], alone[i]) <= 1 for i in range(len(found)) if i % 3 == number)
    assert len(found) == CASES[case]["batch_size"] * CASES[case]["n_iter"]


def test_each_picture_of_a_batch_is_made_again_by_its_own_parameters(client: Client, unit: MakeUnit) -> None:
    several = {"image": None, "images": [encode(reference().rotate(turn)) for turn in (0, 90, 180)], "combine": "batch"}
    made = client.txt2img([unit(**several)], n_iter=4)
    texts = made.info["infotexts"][-4:]
    for number, (picture, text) in enumerate(zip(made.pictures[-4:], texts, strict=True)):
        start = int(re.findall(r"batch_start: (\d)", text)[0]) if "batch_start" in text else 0
        assert start == number % 3
        seed = int(re.findall(r"Seed: (\d+)", text)[0])
        again = client.txt2img([unit(**several, batch_start=start)], seed=seed)
        assert np.array_equal(again.picture, picture)


def pictures_of(client: Client, unit: Json, case: Json) -> list:
    """Without the grid, which stands before them."""
    count = case["batch_size"] * case["n_iter"]
    return client.txt2img([unit], **case).pictures[-count:]


def test_what_was_encoded_by_the_route_draws_the_same_with_its_adapter_alone(client: Client, unit: MakeUnit) -> None:
    saved = client.post("/ip-adapter/encode", unit())["embeds"]
    given = {"embeds": saved, "model": models.BASE}
    assert difference(client.txt2img([given]).picture, client.txt2img([unit()]).picture) == 0
    with pytest.raises(Refused, match="another adapter"):
        client.txt2img([given | {"model": models.PLUS}])


def test_noise_and_a_negative_picture_change_the_picture_the_same_way_twice(client: Client, unit: MakeUnit) -> None:
    plain = client.txt2img([unit()]).picture
    for values in ({"noise": 0.7, "noise_kind": "shuffle"}, {"negative_image": encode(reference().rotate(90))}):
        one, two = (client.txt2img([unit(**values)]) for _ in range(2))
        assert difference(one.picture, two.picture) == 0
        assert difference(one.picture, plain) > 0
        assert next(iter(values)) in one.infotext
