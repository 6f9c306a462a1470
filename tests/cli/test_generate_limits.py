"""What ``generate`` looks at before it draws, and what it says where drawing meets a limit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image

from lib_ipadapter.cli import picture as command
from lib_ipadapter.cli.unit import pictures_named, read_unit
from lib_ipadapter.errors import UnitError
from tests.cli.test_generate import Bench, bench

__all__ = ["bench"]


def last_line(err: str) -> str:
    return err.rsplit("\r", maxsplit=1)[-1].splitlines()[-1]


@pytest.fixture
def nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("no checkpoint need be read for this")

    monkeypatch.setattr(command, "open_pipeline", fail)


@pytest.mark.usefixtures("nothing_is_drawn")
@pytest.mark.parametrize("option", ["image", "images", "mask"])
def test_a_picture_that_was_given_is_not_written_over(option: str, bench: Bench) -> None:
    before = bench.image.read_bytes()
    named = {"set": f"{option}={bench.image}"} if option != "image" else {}
    if option == "mask":
        named["image"] = str(bench.encoder.parent / "other.png")
        Image.new("RGB", (9, 9)).save(named["image"])
    status, _, err = bench.run(output=bench.image, **named)
    assert (status, "is a picture that was given; choose another --output." in last_line(err)) == (2, True)
    assert bench.image.read_bytes() == before


@pytest.mark.usefixtures("nothing_is_drawn")
def test_where_nothing_can_be_written_is_known_before_drawing(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    for output, said in [("reference.png/o.png", "cannot be written"), ("folder.png", "it is a folder")]:
        status, _, err = bench.run(output=tmp_path / output)
        assert (status, said in last_line(err)) == (2, True)


@pytest.mark.usefixtures("nothing_is_drawn")
@pytest.mark.parametrize("option", [{"seed": 1 << 64}, {"steps": 1001}])
def test_numbers_that_no_sampler_takes_are_refused_at_once(option: Any, bench: Bench) -> None:
    status, _, err = bench.run(**option)
    (name,) = option
    assert (status, f"Invalid value for '--{name}'" in " ".join(err.split())) == (2, True)


def test_the_largest_seed_is_taken(bench: Bench) -> None:
    assert f"Seed: {(1 << 64) - 1}," in bench.parameters(seed=(1 << 64) - 1)


FAILURES = {
    "refused": (ValueError("`num_inference_steps` cannot be larger"), "The picture cannot be drawn: `num_inference"),
    "memory": (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried"), "too little free memory"),
}


@pytest.mark.parametrize(("error", "said"), FAILURES.values(), ids=FAILURES)
def test_what_drawing_meets_is_a_sentence(
    error: Exception, said: str, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(StableDiffusionPipeline, "__call__", fail)
    status, _, err = bench.run()
    assert (status, said in last_line(err)) == (2, True)


def test_a_full_gpu_is_not_taken_for_a_damaged_checkpoint(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried")

    monkeypatch.setattr(StableDiffusionPipeline, "to", fail)
    assert "too little free memory" in last_line(bench.run()[2])


def test_what_of_a_prompt_is_left_out_is_said_and_the_picture_drawn(bench: Bench) -> None:
    status, _, err = bench.run(prompt="a" * 75, negative="a" * 75 + "bc")
    said = [line for line in err.splitlines() if "are read" in line]
    assert status == 0
    assert said == ["The negative prompt has 77 tokens, and only 75 are read; this is left out: 'bc'."]


def test_a_picture_may_have_any_sign_in_its_name(tmp_path: Path) -> None:
    odd, other = tmp_path / "10:30.png", tmp_path / "b.png"
    for path in (odd, other):
        Image.new("RGB", (3, 4), "red").save(path)
    settings = [f"images={odd}"]
    unit = read_unit({"model": "m", "image": str(odd)}, settings)
    assert len(unit.pictures) == 2
    assert pictures_named({"image": odd}, settings) == [odd, odd]


def test_of_several_pictures_in_the_place_of_one_none_is_dropped(tmp_path: Path) -> None:
    Image.new("RGB", (3, 4)).save(tmp_path / "b.png")
    with pytest.raises(UnitError, match="There is no picture"):
        read_unit({"model": "m", "image": f"{tmp_path / 'b.png'}:{tmp_path / 'b.png'}"}, [])


def test_several_pictures_are_divided_as_a_search_path_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.pathsep", "|")
    Image.new("RGB", (3, 4)).save(tmp_path / "b.png")
    paths = f"{tmp_path / 'b.png'}|{tmp_path / 'b.png'}"
    assert len(read_unit({"model": "m"}, [f"images={paths}"]).pictures) == 2
