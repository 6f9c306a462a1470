"""A mask means what it says: a reference shows inside, and outside what the text or another reference says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib_ipadapter.session.unit.where import Side
from pocket.halves import Right, request
from pocket.judge import judge
from pocket.questions import tasks
from pocket.request import left_half, units
from pocket.scenes import SAID, SIZE, Scene, Thing
from pocket.studio import Studio
from tests.hosts.originals import NUMPY
from tests.pocket.beside import beside

ONE = Scene((Thing("star", "green", "striped", "small", "centre"),), "white", "flat")
TWO = Scene((Thing("circle", "red", "spotted", "small", "centre"),), "sky", "flat")


def colours(studio: Studio, right: Right, *, mirrored: bool = False) -> tuple[str | None, str | None]:
    """Of the left and the right half."""
    asked = request(right, (ONE, TWO), 3)
    own = units([asked])
    if mirrored:
        other = {Side.INSIDE.value: Side.OUTSIDE.value, Side.OUTSIDE.value: Side.INSIDE.value}
        own = [replace(unit, region=other[unit.region]) for unit in own]
    picture = studio.draw(asked.prompt, asked.seed, *own)
    return judge(picture, "left").colour, judge(picture, "right").colour


@pytest.mark.filterwarnings(NUMPY)
def test_two_references_are_each_seen_in_their_half_and_change_sides_with_the_mask(studio: Studio) -> None:
    assert colours(studio, Right.REFERENCE) == ("green", "red")
    assert colours(studio, Right.REFERENCE, mirrored=True) == ("red", "green")


@pytest.mark.filterwarnings(NUMPY)
def test_outside_the_mask_the_text_is_followed(studio: Studio) -> None:
    assert colours(studio, Right.TEXT) == ("green", "red")


@pytest.mark.parametrize("backgrounds", [("grey", "sky"), ("white", "rose")])
def test_the_judge_reads_halves_with_backgrounds_of_their_own(backgrounds: tuple[str, str]) -> None:
    scenes = [replace(scene, background=own) for scene, own in zip((ONE, TWO), backgrounds, strict=True)]
    picture = beside(*scenes)
    for half, scene in zip(("left", "right"), scenes, strict=True):
        agrees = judge(picture, half).agrees(scene)
        assert all(agrees[name] for name in (*SAID, "background"))


def test_a_hundred_pairs_are_measured_of_each_sort_and_no_scene_twice() -> None:
    for right in Right:
        pairs = [task for task in tasks(200) if task.beside and task.group == right.value]
        assert len(pairs) == 100
        assert len({scene for task in pairs for scene in (task.scene, task.beside)}) == 200


def test_the_mask_is_the_left_half() -> None:
    assert left_half().getbbox() == (0, 0, SIZE // 2, SIZE)
