"""Passes of a job on the pocket model: each unit acts in its own, and what it shows is seen there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket import jobs
from pocket import studio as studios
from pocket.examples.example import picture
from pocket.examples.pictures import PICTURES
from pocket.jobs import perform
from pocket.judge import Verdict, judge
from pocket.scenes import SIZE
from pocket.studio import Studio, unit
from tests.hosts.originals import NUMPY

pytestmark = pytest.mark.filterwarnings(NUMPY)

SEED, PROMPT = 4, "a star"
HIRES = {"width": 64, "height": 64, "enable_hr": True, "hr_scale": 2, "denoising_strength": 0.7}
STRIPES = PICTURES["purple-stripes"]()


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (studios, jobs):
        monkeypatch.setattr(module, "STEPS", 6)


def made(studio: Studio, job: dict[str, Any], *units: Unit) -> Image.Image:
    return perform(studio, job, PROMPT, SEED, units)


def purple(**values: Any) -> Unit:
    return replace(unit(Kind.BASE, STRIPES, 1.0), **values)


def looked_at(image: Image.Image) -> Verdict:
    return judge(image.resize((SIZE, SIZE)))


def test_hires_only_leaves_the_first_pass_alone_and_colours_the_second(studio: Studio) -> None:
    plain = studio.draw(PROMPT, SEED)
    assert judge(plain).colour != "purple"
    assert made(studio, {}, purple(passes="hires")).tobytes() == plain.tobytes()
    large = made(studio, HIRES, purple(passes="hires"))
    assert large.size == (SIZE, SIZE)
    assert looked_at(large).colour == "purple"


def test_first_only_leaves_the_second_pass_alone(studio: Studio) -> None:
    """Over the same first pass, the second one is what it is without a unit."""
    seen = []
    first = purple(passes="first")
    assert made(studio, {}, first).tobytes() == made(studio, {}, purple(passes="both")).tobytes()
    for units in ([first], [first, purple(passes="hires", scale=0.0)], [purple(passes="both")]):
        seen.append(made(studio, HIRES, *units).tobytes())
    assert seen[0] == seen[1] != seen[2]


def test_a_unit_for_detailers_only_rests_in_the_jobs_own_passes(studio: Studio) -> None:
    assert made(studio, HIRES, purple(detailer="only")).tobytes() == made(studio, HIRES).tobytes()


def test_the_input_picture_is_its_own_reference(studio: Studio) -> None:
    job = {"init_images": [picture("teal-spots")], "denoising_strength": 1.0}
    plain = made(studio, job)
    followed = looked_at(made(studio, job, purple(image=None, reference="input")))
    assert looked_at(plain).colour != followed.colour == "teal"
