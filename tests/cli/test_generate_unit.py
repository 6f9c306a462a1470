"""Every field of a unit can be said to ``generate``, faces among them."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_ipadapter.cli.unit import read_picture, read_unit
from lib_ipadapter.errors import UnitError
from lib_ipadapter.hosts.without import NoHost
from lib_ipadapter.model.face import CROP
from lib_ipadapter.model.face_file import write_face
from lib_ipadapter.session.faces import GivenFace
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.prompts import write_prompt
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Type
from lib_ipadapter.session.unit.passes import OF_A_JOB
from tests.cli.test_generate import Bench, bench

__all__ = ["bench"]

ADA, OTHER = ([math.sin(n + shift) for n in range(512)] for shift in (0, 100))


@pytest.fixture
def faceid(adapters: Path, tmp_path: Path) -> Path:
    """A FaceID file, with two saved faces in the folder beside it."""
    for name, face in (("ada", ADA), ("other", OTHER)):
        write_face(tmp_path / "own" / "faces" / f"{name}.safetensors", torch.tensor(face))
    return Path(shutil.copy(adapters / "faceid.safetensors", tmp_path / "own" / "faceid.safetensors"))


def test_a_saved_face_steers_without_a_picture_and_without_an_encoder(bench: Bench, faceid: Path) -> None:
    given: dict[str, Any] = {"adapter": faceid, "image": None, "encoder": None, "scale": 1}
    made = {
        name: bench.picture(**given, face=faceid.parent / "faces" / f"{name}.safetensors") for name in ("ada", "other")
    }
    assert not np.array_equal(made["ada"], made["other"])
    assert not np.array_equal(made["ada"], bench.picture(**given | {"scale": 0, "face": "ada"}))
    assert np.array_equal(made["ada"], bench.picture(**given, face="Ada"))
    assert not np.array_equal(made["ada"], bench.picture(**given, face="ada", set="lora_scale=0"))


def test_a_saved_prompt_is_called_by_its_name_and_needs_no_picture_and_no_encoder(bench: Bench, tmp_path: Path) -> None:
    adapter = Path(shutil.copy(bench.adapter, tmp_path / "own.safetensors"))
    unit = Unit.parse({"image": read_picture(bench.image), "model": adapter.stem})
    host = NoHost(torch.device("cpu"), adapter_folders=[adapter], encoder_folders=[bench.encoder])
    file = tmp_path / "prompts" / "dusk.safetensors"
    write_prompt(LIBRARY.image_prompt(unit, adapter, host), file)
    given: dict[str, Any] = {"adapter": adapter, "image": None, "encoder": None, "scale": 1}
    by_name = bench.picture(**given, set="embeds=dusk")
    assert np.array_equal(by_name, bench.picture(**given, set=f"embeds={file}"))
    assert np.array_equal(by_name, bench.picture(adapter=adapter, scale=1))


def test_a_face_that_was_given_by_file_is_written_as_a_hash_and_one_by_name_as_its_name(
    bench: Bench, faceid: Path
) -> None:
    given: dict[str, Any] = {"adapter": faceid, "image": None, "encoder": None}
    assert "face: ada" in bench.parameters(**given, face="ada")
    by_file = bench.parameters(**given, face=faceid.parent / "faces" / "ada.safetensors")
    label = GivenFace.parse(ADA)
    assert label is not None
    assert f"face_hash: {label.label}" in by_file


def test_a_file_of_two_kinds_is_asked_about_and_the_answer_is_taken(
    bench: Bench, adapters: Path, faceid: Path, tmp_path: Path
) -> None:
    twin = shutil.copy(adapters / "faceid-plusv2.safetensors", tmp_path / "mine.safetensors")
    Image.radial_gradient("L").convert("RGB").resize((CROP, CROP)).save(tmp_path / "face.png")
    face = faceid.parent / "faces" / "ada.safetensors"
    given: dict[str, Any] = {"adapter": twin, "image": tmp_path / "face.png", "face": face, "scale": 1}
    status, _, err = bench.run(**given)
    assert (status, "or give --kind faceid-plus or faceid-plusv2." in err) == (2, True), err
    made = {kind: bench.picture(**given, kind=kind) for kind in ("faceid-plus", "faceid-plusv2")}
    assert not np.array_equal(made["faceid-plus"], made["faceid-plusv2"])
    without = bench.picture(**given, kind="faceid-plusv2", set="shortcut_scale=0")
    assert not np.array_equal(made["faceid-plusv2"], without)


@pytest.mark.parametrize(
    "said", ["reference=input", "reference=folder", "reference=whole folder", "passes=hires", "detailer=only"]
)
def test_what_only_a_job_of_the_webui_has_is_refused(said: str) -> None:
    with pytest.raises(UnitError, match=f"{said} is for the WebUI"):
        read_unit({"model": "a", "image": None}, [said])


def test_what_is_set_is_what_the_option_says_and_wins_over_it(bench: Bench) -> None:
    wanted = bench.picture(scale=1.25, end=0.5)
    assert np.array_equal(wanted, bench.picture(set=["scale=1.25", " end = 0.5"]))
    assert np.array_equal(wanted, bench.picture(scale=0.1, set=["scale=1.25", "end=0.5"]))
    assert np.array_equal(bench.picture(scale=0), bench.picture(scale=1, set="enabled=false"))


EXAMPLES = {
    Type.SWITCH: ("false", False),
    Type.NUMBER: ("0.25", 0.25),
    Type.INTEGER: ("1", 1),
    Type.MODEL: ("mine", "mine"),
    Type.ENCODER: ("mine", "mine"),
    Type.FACE: ("ada", GivenFace(name="ada")),
}


@pytest.mark.parametrize("field", [f for f in FIELDS if f.type in EXAMPLES], ids=lambda field: field.name)
def test_every_field_can_be_set_by_its_name(field: Any) -> None:
    text, value = EXAMPLES[field.type]
    unit = read_unit({"enabled": False}, [f"{field.name}={text}"])
    assert getattr(unit, field.name) == value


@pytest.mark.parametrize("field", [f for f in FIELDS if f.type is Type.CHOICE], ids=lambda field: field.name)
def test_every_choice_can_be_set_by_its_name(field: Any) -> None:
    refused = next((values for name, _, values in OF_A_JOB if name == field.name), ())
    for choice in (choice for choice in field.choices if choice not in refused):
        unit = read_unit({"enabled": False}, [f"{field.name}={choice}"])
        assert getattr(unit, field.name) == choice


def test_a_picture_is_set_by_its_path(tmp_path: Path) -> None:
    Image.new("RGB", (3, 4), "red").save(tmp_path / "a.png")
    unit = read_unit({"model": "m"}, [f"image={tmp_path / 'a.png'}"])
    assert (unit.image and unit.image.size) == (3, 4)


WRONG = {
    "no value": ({"set": "scale"}, "--set takes FIELD=VALUE, got 'scale'; the fields are enabled, image, "),
    "no field": ({"set": "strength=1"}, "has no field 'strength'; the fields are enabled, image, "),
    "no number": ({"set": "lora_scale=much"}, "lora_scale must be a number from 0 to 2, got 'much'."),
    "no kind": ({"kind": "lora"}, "kind must be one of auto, faceid-plus,"),
    "no such face": ({"face": "nobody"}, "There is no saved face called 'nobody'"),
    "no picture": ({"image": None}, "name one by --image"),
    "no encoder": (
        {"encoder": None},
        "base.safetensors needs an image encoder, one that is not published (image_embeds 40 wide)",
    ),
}


@pytest.mark.parametrize(("options", "said"), WRONG.values(), ids=WRONG)
def test_what_cannot_be_set_is_one_sentence_and_status_2(bench: Bench, adapters: Path, options: Any, said: str) -> None:
    adapter = adapters / ("faceid.safetensors" if "face" in options else "base.safetensors")
    status, out, err = bench.run(**{"adapter": adapter, **options})
    assert (status, out) == (2, "")
    assert said in err.split("\r")[-1].splitlines()[-1]
    assert not bench.output.exists()
