"""Pictures that are drawn at once have all in common but their text, their noise and their references."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Kind
from pocket import draw, evaluate, halves, judge, questions, request, ship, sweep
from pocket.request import BATCH, CODE, Request, batches, units
from pocket.scenes import sample_scene

LOT = random.Random(5)
SCENES = [sample_scene(LOT, pair_share=0.0) for _ in range(3)]
WHOLE = Request("", 0, Kind.BASE, SCENES[0])
PAIR = replace(WHOLE, left_half=True, right=SCENES[1])


def test_many_alike_are_drawn_a_few_at_once() -> None:
    many = [replace(WHOLE, prompt=str(seed), seed=seed, reference=SCENES[seed % 3]) for seed in range(2 * BATCH + 1)]
    assert [len(batch) for batch in batches(many)] == [BATCH, BATCH, 1]
    assert [one for batch in batches(many) for one in batch] == many


@pytest.mark.parametrize(
    "other",
    [
        replace(WHOLE, kind=Kind.PLUS),
        replace(WHOLE, scale=0.5),
        replace(WHOLE, options=(("start", 0.4),)),
        replace(WHOLE, steps=3),
        replace(WHOLE, left_half=True),
        PAIR,
        Request("", 0),
    ],
)
def test_what_has_other_units_is_drawn_for_itself(other: Request) -> None:
    assert batches([WHOLE, other]) == [[WHOLE], [other]]


def test_a_text_beside_a_picture_is_not_drawn_with_two_pictures() -> None:
    assert len(batches([replace(PAIR, right=None), PAIR])) == 2
    assert len(batches([PAIR, replace(PAIR, right=SCENES[2])])) == 1


@pytest.mark.parametrize("precise", [WeightType.STYLE_PRECISE, WeightType.COMPOSITION_PRECISE])
def test_what_takes_one_picture_for_all_is_drawn_alone(precise: WeightType) -> None:
    one = replace(WHOLE, options=(("weight_type", precise.value),))
    assert len(batches([one, replace(one, reference=SCENES[1]), replace(one, seed=1)])) == 3
    one = replace(WHOLE, composition=SCENES[1])
    assert len(batches([one, replace(one, composition=SCENES[2])])) == 2


def test_each_unit_has_what_was_asked_for() -> None:
    assert units([Request("a star", 0)]) == []
    (own,) = units([replace(WHOLE, scale=0.5, options=(("end", 0.4),), composition=SCENES[1])])
    assert (own.scale, own.end, own.mask) == (0.5, 0.4, None)
    assert own.image is not None
    assert own.image.tobytes() == draw.draw(SCENES[0]).tobytes()
    assert own.composition_image is not None
    left, right = units([PAIR, replace(PAIR, right=SCENES[2])])
    assert left.mask is not None
    assert left.region != right.region
    assert [len(unit.images) for unit in (left, right)] == [1, 1]


@pytest.mark.parametrize("wrong", [{"kind": None}, {"reference": None}, {"right": SCENES[1]}])
def test_what_nothing_could_be_drawn_by_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="An adapter has a reference, and a right half a left one"):
        replace(WHOLE, **wrong)


def test_a_picture_depends_on_its_own_weights_and_on_what_reads_the_prompt() -> None:
    plus = {*replace(WHOLE, kind=Kind.PLUS).files}
    assert {ship.CHECKPOINT, ship.adapter_path(Kind.PLUS), ship.ENCODER / "model.safetensors"} <= plus
    assert ship.adapter_path(Kind.BASE) not in plus
    assert not {ship.adapter_path(kind) for kind in Kind} & {*Request("", 0).files}
    read = {ship.CHECKPOINT.with_suffix(".yaml"), ship.ENCODER / "config.json"}
    assert read | {ship.TOKENIZER / name for name in ("config.json", "vocab.json", "merges.txt")} <= {*CODE}


def test_what_is_asked_of_a_picture_draws_nothing_anew() -> None:
    drawing, asking = (
        {Path(part.__file__ or "") for part in parts}
        for parts in ((draw, request), (judge, evaluate, halves, questions, sweep))
    )
    assert drawing <= {*CODE}
    assert not asking & {*CODE}
