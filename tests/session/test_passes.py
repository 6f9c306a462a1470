"""In which passes a unit acts, and how that is written down."""

from __future__ import annotations

import pytest
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session import infotext
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.passes import Pass

F, H, I = Pass.FIRST, Pass.HIRES, Pass.INNER  # noqa: E741

ACTS = {
    ("both", "also"): {F, H, I},
    ("first", "also"): {F, I},
    ("hires", "also"): {H, I},
    ("both", "never"): {F, H},
    ("first", "never"): {F},
    ("hires", "never"): {H},
    ("both", "only"): {I},
    ("first", "only"): {I},
    ("hires", "only"): {I},
}


@pytest.mark.parametrize(("passes", "detailer"), ACTS)
def test_a_unit_acts_in_the_passes_that_were_chosen(passes: str, detailer: str) -> None:
    unit = Unit(passes=passes, detailer=detailer)
    assert {now for now in Pass if unit.acts_in(now)} == ACTS[passes, detailer]


def test_a_unit_acts_everywhere_unless_told() -> None:
    assert all(Unit().acts_in(now) for now in Pass)


def written(**values: object) -> str:
    unit = Unit.parse({"image": Image.new("RGB", (8, 8)), "model": "m", **values})
    return infotext.write([unit], lambda name: name)["IP-Adapter 1"]


HARD = ["people", "people, others", 'say "hi"', "naïve 🐈", "it's; a = b"]


@pytest.mark.parametrize("folder", HARD)
def test_passes_come_back_from_the_infotext_whatever_the_folder_is_called(folder: str) -> None:
    chosen = {"passes": "hires", "detailer": "only", "reference": "folder", "reference_folder": folder}
    found = infotext.read({"IP-Adapter 1": written(**chosen)}, 1)
    assert {name: found[name] for name in chosen} == chosen


def test_the_infotext_says_nothing_of_passes_where_nothing_was_chosen() -> None:
    assert not any(name in written() for name in ("passes", "detailer", "reference"))


@pytest.mark.parametrize("folder", ["../../etc", "/etc", "C:\\Windows", "a/b", "..", ".ssh", "a\0b"])
def test_no_path_gets_in_as_a_folders_name(folder: str) -> None:
    with pytest.raises(UnitError, match="not a path"):
        Unit.parse({"reference_folder": folder})
    hostile = {"IP-Adapter 1": f'model: m, passes: all, detailer: 1, reference_folder: "{folder}"'}
    assert set(infotext.read(hostile, 1)) == {"enabled", "image", "model"}


def test_no_field_is_called_as_the_key_by_which_adetailer_knows_controlnet() -> None:
    """It switches off any argument that has it, unless all of ControlNet is to pass."""
    assert "module" not in {field.name for field in FIELDS}
