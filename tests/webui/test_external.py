"""What other extensions may rely on: the units of a processing object, read and set."""

from __future__ import annotations

import copy
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lib_ipadapter.external import IPAdapterError, Unit, get_units, set_units
from lib_ipadapter.session.unit import FIELDS
from tests.webui.fake_host import FakeJob
from tests.webui.test_api import DISABLED, PAGE_UNIT, PICTURE, unit


def page_job() -> FakeJob:
    return FakeJob(*PAGE_UNIT, *DISABLED)


def api_job() -> FakeJob:
    return FakeJob(unit(scale=0.5, end=0.8), *[None] * (2 * len(FIELDS) - 1))


@pytest.mark.parametrize("job", [page_job, api_job])
def test_units_are_read_from_a_page_and_from_a_request_alike(job: Any) -> None:
    first = get_units(job())[0]
    assert (first.enabled, first.model, first.scale, first.end) == (True, "ip-adapter_sd15", 0.5, 0.8)
    assert first.image is not None
    assert first.image.tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize("job", [page_job, api_job])
def test_what_is_set_is_what_is_read_and_other_scripts_keep_theirs(job: Any) -> None:
    one = job()
    units = [
        replace(get_units(one)[0], scale=1.25),
        Unit(enabled=False),
        Unit(image=Image.new("RGBA", (4, 4)), model="m"),
    ]
    before = one.script_args
    set_units(one, units)
    found = get_units(one)
    assert [u.order for u in found] == [u.order for u in units]
    assert [u.enabled for u in found] == [True, False, True]
    assert (one.script_args[0], one.script_args[-1]) == ("other's", "last's")
    assert (len(one.script_args), type(one.script_args)) == (len(before), type(before))


@pytest.mark.parametrize("rests", [{"enabled": False}, {"scale": 0.0}, {"start": 0.6, "end": 0.5}])
@pytest.mark.parametrize("page", [False, True])
def test_a_unit_that_rests_keeps_its_picture_when_it_is_set_back(rests: dict[str, Any], page: bool) -> None:
    args = [rests.get(field.name, value) for field, value in zip(FIELDS, PAGE_UNIT, strict=True)]
    job = FakeJob(*args, *DISABLED) if page else FakeJob(unit(**rests), *[None] * (2 * len(FIELDS) - 1))
    for _ in range(2):
        set_units(job, get_units(job))
    (first, *_) = get_units(job)
    assert not first.active
    assert first.image is not None
    assert first.image.tobytes() == PICTURE.tobytes()


def test_setting_the_units_of_a_copy_leaves_the_job_that_it_was_copied_from() -> None:
    job = page_job()
    other = copy.copy(job)
    set_units(other, [])
    assert not any(one.enabled for one in get_units(other))
    assert get_units(job)[0].scale == 0.5


@pytest.mark.parametrize("lacking", ["scripts", "our script", "arguments"])
def test_where_our_script_takes_no_part_it_is_a_sentence(lacking: str) -> None:
    job = page_job()
    if lacking == "scripts":
        job.scripts = None
    elif lacking == "our script":
        del job.scripts.alwayson_scripts[1]
    else:
        job.script_args = {}
    for act in (lambda: get_units(job), lambda: set_units(job, [])):
        with pytest.raises(IPAdapterError, match="takes no part in this job"):
            act()


def test_more_units_than_there_is_room_for_are_refused_and_nothing_is_changed() -> None:
    job = page_job()
    before = job.script_args
    with pytest.raises(IPAdapterError, match="room for"):
        set_units(job, [Unit()] * (2 * len(FIELDS) + 1))
    assert job.script_args == before


def test_the_example_of_the_documentation_halves_each_scale_once(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "for-extensions.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.S)
    modules: Any = ModuleType("modules")
    modules.scripts = SimpleNamespace(Script=object, AlwaysVisible=object())
    monkeypatch.setitem(sys.modules, "modules", modules)
    names: dict[str, Any] = {"__name__": "example"}
    exec(example, names)
    job = page_job()
    for _ in range(2):  # as often as a batch of files processes it
        names["Mine"]().before_process(job)
    assert [one.scale for one in get_units(job)] == [one.scale / 2 for one in get_units(page_job())]
