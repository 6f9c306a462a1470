"""Passes, jobs inside jobs, and pictures that belong to a job, with a stand-in for the WebUI."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session.unit import Unit
from tests.webui.fake_host import FakeProcessing, FakeWebUI
from tests.webui.test_door import UNIT, door, encoded, webui

__all__ = ["door", "webui"]


def calls(module: str, function: str) -> Callable[..., Any]:
    """A function of that name in a module of that name, which does some work."""
    space: dict[str, Any] = {"__name__": module}
    exec(f"def {function}(work, p=None, image=None):\n    return work(p) if p else work()", space)
    return space[function]


JOB = calls("modules.processing", "process_images_inner")
BATCH = calls("modules.img2img", "process_batch")
OTHER = calls("extension", "process_images_inner")


def new(**about: Any) -> FakeProcessing:
    processing = FakeProcessing()
    vars(processing).update(about)
    return processing


def begin(door: Any, units: list[Any], **about: Any) -> FakeProcessing:
    processing = new(**about)
    door.process(processing, units)
    return processing


def sampled(webui: FakeWebUI, door: Any, processing: FakeProcessing, units: list[Any]) -> torch.Tensor:
    """One sampling of a job, as the WebUI does it."""
    door.before_sampling(processing, units)
    latent = webui.sample()
    door.close()
    assert (webui.hooks, webui.callbacks) == (0, [])
    return latent


def alone(webui: FakeWebUI, door: Any, units: list[Any], **about: Any) -> torch.Tensor:
    """One sampling of a job that is not inside another."""

    def job(processing: FakeProcessing) -> torch.Tensor:
        door.process(processing, units)
        return sampled(webui, door, processing, units)

    return JOB(job, new(**about))


def inside(webui: FakeWebUI, door: Any, units: list[Any], **outer: Any) -> tuple[torch.Tensor, FakeProcessing]:
    """The sampling of a job in the middle of another, and that other one."""

    def job(processing: FakeProcessing) -> tuple[torch.Tensor, FakeProcessing]:
        door.process(processing, units)
        shared = {"extra_generation_params": processing.extra_generation_params, "init_images": [MADE]}
        return alone(webui, door, units, **shared), processing

    return JOB(job, new(**outer))


MADE = Image.new("RGB", (8, 8), "gray")
RED, BLUE = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))


@pytest.mark.parametrize(("passes", "first", "hires"), [("both", 1, 1), ("first", 1, 0), ("hires", 0, 1)])
def test_a_unit_acts_in_the_pass_it_is_for_and_rests_in_the_other(
    passes: str, first: int, hires: int, *, webui: FakeWebUI, door: Any
) -> None:
    plain, acting = webui.sample(), alone(webui, door, [UNIT])
    assert not torch.equal(plain, acting)
    units = [UNIT | {"passes": passes}]
    assert torch.equal(alone(webui, door, units), acting if first else plain)
    assert torch.equal(alone(webui, door, units, is_hr_pass=True), acting if hires else plain)


@pytest.mark.parametrize(("detailer", "outer", "inner"), [("also", 1, 1), ("never", 1, 0), ("only", 0, 1)])
def test_a_unit_acts_inside_the_job_as_was_chosen(
    detailer: str, outer: int, inner: int, *, webui: FakeWebUI, door: Any
) -> None:
    plain, acting = webui.sample(), alone(webui, door, [UNIT])
    units = [UNIT | {"detailer": detailer}]
    assert torch.equal(alone(webui, door, units), acting if outer else plain)
    assert torch.equal(inside(webui, door, units)[0], acting if inner else plain)


def test_inside_the_job_each_picture_keeps_its_own_of_several(webui: FakeWebUI, door: Any) -> None:
    pictures = [encoded(), encoded(90)]
    own = [alone(webui, door, [UNIT | {"image": picture}]) for picture in pictures]
    unit = UNIT | {"image": None, "images": pictures, "combine": "batch"}
    for place in (0, 1):
        found = inside(webui, door, [unit], batch_size=2, batch_index=place)[0]
        torch.testing.assert_close(found, own[place], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(*own, rtol=1e-4, atol=1e-5)


def test_after_a_job_inside_it_the_next_batch_is_as_the_first(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "never"}]

    def job(processing: FakeProcessing) -> list[torch.Tensor]:
        door.process(processing, units)
        found = []
        for _ in range(3):
            found.append(sampled(webui, door, processing, units))
            alone(webui, door, [])
        return found

    latents = JOB(job, new())
    assert not torch.equal(latents[0], webui.sample())
    assert all(torch.equal(latents[0], latent) for latent in latents)


def test_a_job_that_fails_is_not_taken_for_one_around_the_next(webui: FakeWebUI, door: Any) -> None:
    """Its end is never reported, and it may live on; the next job is no part of it."""
    units = [UNIT | {"detailer": "never"}]
    broken = new()
    JOB(lambda p: door.process(p, units), broken)
    assert not torch.equal(alone(webui, door, units), webui.sample())
    assert broken.extra_generation_params


def test_one_job_after_another_in_a_script_is_not_inside_it(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "only"}]
    assert all(torch.equal(alone(webui, door, units), webui.sample()) for _ in range(2))


def test_a_function_of_the_same_name_elsewhere_is_no_job(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "only"}]
    assert torch.equal(OTHER(lambda: alone(webui, door, units)), webui.sample())


def test_a_job_in_one_that_has_no_scripts_is_inside_it(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"detailer": "only"}]
    assert not torch.equal(JOB(lambda _: alone(webui, door, units), new()), webui.sample())


def test_the_parameters_of_the_picture_are_its_own(webui: FakeWebUI, door: Any) -> None:
    """The job inside, and the next, do not change a word, even where they share one dictionary."""
    units = [UNIT | {"detailer": "only"}]
    _, outer = inside(webui, door, units)
    assert set(outer.extra_generation_params) == {"IP-Adapter 1"}
    assert "detailer: only" in outer.extra_generation_params["IP-Adapter 1"]


def test_a_beginning_that_is_reported_again_leaves_what_a_failure_has_said(webui: FakeWebUI, door: Any) -> None:
    """As ADetailer does after each batch, with a copy that shares the parameters."""
    webui.opts.data["ip_adapter_go_on"] = True
    units = [UNIT | {"model": "nope"}]

    def job(processing: FakeProcessing) -> FakeProcessing:
        for _ in range(2):  # batch files use one processing object again and again
            door.process(processing, units)
            assert set(processing.extra_generation_params) == {"IP-Adapter 1"}
            sampled(webui, door, processing, units)
            door.process(copy.copy(processing), units)
            assert set(processing.extra_generation_params) == {"IP-Adapter error"}
        return processing

    JOB(job, new())


def test_a_failure_inside_is_said_of_the_picture_because_the_webui_swallows_it(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"model": "nope", "detailer": "only"}]

    def job(outer: FakeProcessing) -> FakeProcessing:
        door.process(outer, units)
        sampled(webui, door, outer, units)
        with pytest.raises(Exception, match="no IP-Adapter model called 'nope'"):
            alone(webui, door, units)
        return outer

    outer = JOB(job, new())
    assert "'nope'" in outer.extra_generation_params["IP-Adapter error"]
    assert len(outer.comments) == 1
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_a_hires_unit_without_hires_fix_does_not_rest_unnoticed(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT, UNIT | {"passes": "hires"}]
    said = begin(door, units).comments
    assert said == ["IP-Adapter: unit 2 is for the hires pass only, and this job has none."]
    assert begin(door, units, enable_hr=True).comments == []
    assert begin(door, [UNIT | {"passes": "hires", "enabled": False}]).comments == []


def test_a_detailers_unit_without_a_detailer_does_not_rest_unnoticed(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT, UNIT | {"detailer": "only"}]

    def comments(work: Callable[[FakeProcessing], Any], units: list[Any]) -> str:
        """All that a job says; every file of a batch begins one with the same processing object."""

        def job(processing: FakeProcessing) -> str:
            door.process(processing, units)
            sampled(webui, door, processing, units)
            work(processing)
            processed = SimpleNamespace(comments="", images=[RED])
            door.end(processing, processed, units)
            return processed.comments

        return JOB(job, processing)

    def detailer(_: FakeProcessing) -> None:
        def inner(processing: FakeProcessing) -> str:
            sampled(webui, door, processing, units)
            processed = SimpleNamespace(comments="", images=[RED])
            door.end(processing, processed, units)
            return processed.comments

        assert JOB(inner, new()) == ""

    processing = new()
    for _ in range(2):
        assert comments(detailer, units) == ""
        assert comments(lambda _: None, units).startswith("IP-Adapter: unit 2 is for detailer passes only")
    assert comments(lambda _: None, [UNIT, UNIT | {"detailer": "only", "enabled": False}]) == ""


NEVER = [{"start": 0.5, "end": 0.5}, {"curve": "0:0"}, {"layers": "4:0"}, {"grid": "0 0"}]


@pytest.mark.parametrize("values", NEVER, ids=lambda values: next(iter(values)))
def test_a_unit_that_can_act_nowhere_does_not_rest_unnoticed(values: Any, webui: FakeWebUI, door: Any) -> None:
    (said,) = begin(door, [UNIT, UNIT | values]).comments
    assert said.startswith("IP-Adapter: unit 2 acts at no step and in no layer")
    assert begin(door, [UNIT | values | {"enabled": False}, UNIT | {"scale": 0}]).comments == []


def test_pictures_that_another_script_sampled_by_itself_do_not_claim_the_adapter_unnoticed(
    webui: FakeWebUI, door: Any
) -> None:
    def ended(units: list[Any], sampling: bool, pictures: int = 1) -> str:
        def job(processing: FakeProcessing) -> str:
            door.process(processing, units)
            if sampling:
                sampled(webui, door, processing, units)
            copied = SimpleNamespace(comments="", images=[RED])
            door.end(copy.copy(processing), copied, units)  # as ADetailer does after each batch
            assert copied.comments == ""
            processed = SimpleNamespace(comments="", images=[RED] * pictures)
            door.end(processing, processed, units)
            return processed.comments

        return JOB(job, new())

    assert ended([UNIT], sampling=True) == ""
    assert ended([UNIT], sampling=False).startswith("IP-Adapter: no unit acted")
    assert ended([UNIT], sampling=False, pictures=0) == "", "it was interrupted"
    assert ended([UNIT | {"enabled": False}], sampling=False) == ""
    assert ended([UNIT | {"detailer": "only"}], sampling=False).startswith("IP-Adapter: unit 1 is for detailer")


def test_what_is_set_to_no_effect_is_said_once_for_all_passes_and_in_the_parameters(
    webui: FakeWebUI, door: Any
) -> None:
    units = [UNIT | {"composition_scale": 0.5}, UNIT | {"weight_type": "ease in", "layers": "4:1"}]
    processing = begin(door, units)
    for _ in range(2):
        sampled(webui, door, processing, units)
    assert len(processing.comments) == 2
    said = processing.extra_generation_params["IP-Adapter notice"]
    assert [said.count(name) for name in ("composition_scale", "weight_type", ";", ".")] == [1, 1, 0, 2]
    assert set(processing.extra_generation_params) == {"IP-Adapter 1", "IP-Adapter 2", "IP-Adapter notice"}
    door.process(processing, [UNIT])
    assert set(processing.extra_generation_params) == {"IP-Adapter 1"}


def test_a_picture_beside_another_reference_does_not_stay_unused_unnoticed(webui: FakeWebUI, door: Any) -> None:
    units = [UNIT | {"reference": "input"}]
    processing = begin(door, units, init_images=[Image.new("RGB", (8, 8))])
    sampled(webui, door, processing, units)
    (said,) = processing.comments
    assert "image of the unit with ip-adapter_sd15 is not used: reference is 'input'" in said


INPUT = {"model": UNIT["model"], "reference": "input"}


def of(picture: Image.Image) -> str:
    return f"image: {content_hash(picture)[:12]}"


@pytest.mark.parametrize("size", [1, 3])
def test_the_reference_is_the_input_picture(size: int, webui: FakeWebUI, door: Any) -> None:
    from tests.live.client import encode

    given = alone(webui, door, [{"model": UNIT["model"], "image": encode(RED)}])
    assert torch.equal(alone(webui, door, [INPUT], init_images=[RED] * size), given)
    assert not torch.equal(alone(webui, door, [INPUT], init_images=[BLUE] * size), given)
    assert of(RED) in begin(door, [INPUT], init_images=[RED]).extra_generation_params["IP-Adapter 1"]


def test_each_file_of_a_batch_is_its_own_reference(webui: FakeWebUI, door: Any) -> None:
    """The WebUI uses one processing object for all of them."""
    processing, found = FakeProcessing(), []
    for picture in (RED, BLUE, RED):
        vars(processing).update(init_images=[picture])
        door.process(processing, [INPUT])
        assert of(picture) in processing.extra_generation_params["IP-Adapter 1"]
        found.append(sampled(webui, door, processing, [INPUT]))
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_a_batch_does_not_carry_one_files_failure_to_the_next(webui: FakeWebUI, door: Any) -> None:
    webui.opts.data["ip_adapter_go_on"] = True
    processing = FakeProcessing()
    for picture, said in ((None, {"IP-Adapter error"}), (RED, {"IP-Adapter 1"})):
        vars(processing).update(init_images=[picture] if picture else [])
        door.process(processing, [INPUT])
        sampled(webui, door, processing, [INPUT])
        assert set(processing.extra_generation_params) == said


def test_inside_a_job_the_input_picture_is_that_of_the_whole(webui: FakeWebUI, door: Any) -> None:
    red = alone(webui, door, [INPUT], init_images=[RED])
    assert torch.equal(inside(webui, door, [INPUT], init_images=[RED])[0], red)


def test_inside_txt2img_it_is_the_picture_as_made_so_far(webui: FakeWebUI, door: Any) -> None:
    made = alone(webui, door, [INPUT], init_images=[MADE])
    latent, outer = inside(webui, door, [INPUT | {"detailer": "only"}])
    assert torch.equal(latent, made)
    assert "reference: input" in outer.extra_generation_params["IP-Adapter 1"]


@pytest.mark.parametrize(
    ("images", "said"), [(None, "txt2img has no input picture"), ([RED, BLUE], "2 different input pictures")]
)
def test_no_or_several_input_pictures_are_a_sentence(images: Any, said: str, webui: FakeWebUI, door: Any) -> None:
    with pytest.raises(Exception, match=said):
        alone(webui, door, [INPUT], init_images=images)


@pytest.fixture
def folder(webui: FakeWebUI) -> Path:
    root = webui.data / "references"
    (root / "people, 🐈").mkdir(parents=True)
    RED.save(root / "one.png")
    BLUE.save(root / "people, 🐈" / "One.WEBP", lossless=True)
    webui.opts.data["ip_adapter_reference_folder"] = "references"
    return root


def by_name(webui: FakeWebUI, door: Any, file: str | None, **about: Any) -> torch.Tensor:
    units = [{"model": UNIT["model"], "reference": "folder", **about}]
    return BATCH(lambda: alone(webui, door, units), image=file) if file else alone(webui, door, units)


def test_each_file_of_a_batch_gets_the_reference_of_its_name(folder: Path, webui: FakeWebUI, door: Any) -> None:
    red, blue = (alone(webui, door, [INPUT], init_images=[picture]) for picture in (RED, BLUE))
    assert torch.equal(by_name(webui, door, "/somewhere/one.jpg"), red)
    assert torch.equal(by_name(webui, door, "/somewhere/one.jpg", reference_folder="people, 🐈"), blue)


def test_all_pictures_of_a_folder_are_references_by_name(folder: Path, webui: FakeWebUI, door: Any) -> None:
    from tests.live.client import encode

    BLUE.save(folder / "Two.png")
    (folder / "note.txt").write_text("no picture")
    units = [{"model": UNIT["model"], "reference": "whole folder", "combine": "subtract", "weights": "1 0.5"}]
    given = [UNIT | {"image": encode(RED), "images": [encode(BLUE)], "combine": "subtract", "weights": "1 0.5"}]
    assert torch.equal(alone(webui, door, units), alone(webui, door, given))
    written = begin(door, units).extra_generation_params["IP-Adapter 1"]
    assert "reference: whole folder" in written
    assert f"{of(RED)}, images: {content_hash(BLUE)[:12]}" in written


def test_a_whole_folder_is_read_once_until_a_file_changes(
    folder: Path, webui: FakeWebUI, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_ipadapter.webui import references

    read, read_file = [], references.read_file
    monkeypatch.setattr(
        references, "read_file", lambda path, longest: read.append(path.name) or read_file(path, longest)
    )
    units = [{"model": UNIT["model"], "reference": "whole folder"}]
    made = [alone(webui, door, units) for _ in range(3)]
    assert read == ["one.png"]
    BLUE.resize((40, 40)).save(folder / "one.png")
    assert not torch.equal(alone(webui, door, units), made[0])
    assert read == ["one.png"] * 2


def test_what_no_user_has_put_into_a_folder_is_not_looked_at(folder: Path, webui: FakeWebUI, door: Any) -> None:
    units = [{"model": UNIT["model"], "reference": "whole folder"}]
    before = alone(webui, door, units)
    (folder / "._one.png").write_bytes(b"what macOS puts beside each file")
    assert torch.equal(alone(webui, door, units), before)


def test_a_large_picture_of_a_whole_folder_is_made_smaller(folder: Path, webui: FakeWebUI, door: Any) -> None:
    from lib_ipadapter.webui import references

    Image.new("RGB", (4000, 3000), "red").save(folder / "one.png")
    RED.resize((3000, 4000)).save(folder / "two.jpg")
    unit = Unit(model="m", reference="whole folder")
    assert [picture.size for picture in references.with_picture(unit, []).pictures] == [(768, 576), (576, 768)]


@pytest.mark.parametrize("count", [0, 65])
def test_an_empty_folder_and_a_full_one_are_a_sentence(count: int, webui: FakeWebUI, door: Any, folder: Path) -> None:
    (folder / "some").mkdir()
    for number in range(count):
        RED.save(folder / "some" / f"{number}.png")
    units = [{"model": UNIT["model"], "reference": "whole folder", "reference_folder": "some"}]
    with pytest.raises(Exception, match=f"has {count} pictures; 'whole folder' takes 1 to 64"):
        alone(webui, door, units)


def test_pictures_beside_a_whole_folder_are_told_of(folder: Path, webui: FakeWebUI, door: Any) -> None:
    from tests.live.client import encode

    units = [UNIT | {"reference": "whole folder", "images": [{"image": encode(BLUE), "weight": 0.1}]}]
    processing = begin(door, units)
    assert "weights" not in processing.extra_generation_params["IP-Adapter 1"]
    sampled(webui, door, processing, units)
    (said,) = processing.comments
    assert "image and images of the unit with ip-adapter_sd15 are not used" in said


def test_the_folders_in_it_are_listed(folder: Path, webui: FakeWebUI, door: Any) -> None:
    from lib_ipadapter.webui import references

    (folder / ".hidden").mkdir()
    (folder / "linked").symlink_to(webui.data, target_is_directory=True)
    assert references.folders() == ["people, 🐈"]
    webui.opts.data["ip_adapter_reference_folder"] = ""
    assert references.folders() == []


WRONG = [
    ("two.png", {}, "no picture called 'two'"),
    ("one.png", {"reference_folder": "nope"}, "no folder 'nope'; there are people"),
    ("one.png", {"reference_folder": ".."}, "not a path"),
    (None, {}, "for img2img's Batch tab"),
    ("text.png", {}, "no picture called 'text'"),
    ("out.png", {}, "no picture called 'out'"),
    ("broken.png", {}, "not a picture that can be read"),
    ("one.png", {"reference_folder": "linked"}, "no folder 'linked'"),
]


@pytest.mark.parametrize(("file", "unit", "said"), WRONG)
def test_what_a_folder_cannot_give_is_a_sentence(
    file: str | None, unit: dict[str, str], said: str, *, folder: Path, webui: FakeWebUI, door: Any
) -> None:
    (folder / "text.txt").write_text("no picture")
    (folder / "broken.png").write_text("no picture")
    RED.save(webui.data / "secret.png")
    (folder / "out.png").symlink_to(webui.data / "secret.png")
    (folder / "linked").symlink_to(webui.data, target_is_directory=True)
    with pytest.raises(Exception, match=said):
        by_name(webui, door, file, **unit)


def test_without_the_setting_no_folder_is_looked_at(webui: FakeWebUI, door: Any) -> None:
    with pytest.raises(Exception, match="name that folder in Settings"):
        by_name(webui, door, "one.png")


def test_jobs_inside_jobs_leave_nothing_behind(webui: FakeWebUI, door: Any) -> None:
    inside(webui, door, [UNIT])
    gc.collect()
    assert len(door._parsed) == 0
    assert (webui.hooks, webui.callbacks) == (0, [])


def test_a_picture_of_a_batch_that_is_upscaled_keeps_its_own_reference(webui: FakeWebUI, door: Any) -> None:
    """The button makes a job of one picture; only the parameters that it reads know which one of the batch it was."""
    from tests.live.client import encode

    several = UNIT | {"image": None, "images": [encode(RED), encode(BLUE)], "combine": "batch"}
    space: dict[str, Any] = {"__name__": "modules.txt2img"}
    exec("def txt2img_upscale(work, parameters):\n    return work()", space)

    def button() -> tuple[torch.Tensor, str]:
        processing = new(txt2img_upscale=True)
        door.process(processing, [several])
        return sampled(webui, door, processing, [several]), processing.extra_generation_params["IP-Adapter 1"]

    made = []
    for number, colour in enumerate((RED, BLUE)):
        latent, text = space["txt2img_upscale"](button, {"IP-Adapter 1": f"model: m, batch_start: {number}"})
        assert f"batch_start: {number}" in text
        assert torch.equal(latent, alone(webui, door, [UNIT | {"image": encode(colour)}]))
        made.append(latent)
    assert not torch.equal(*made)


def test_each_picture_of_a_job_has_parameters_of_its_own(webui: FakeWebUI, door: Any) -> None:
    from tests.live.client import encode

    several = UNIT | {"image": None, "images": [encode(RED), encode(BLUE)], "combine": "batch"}
    processing = begin(door, [several, UNIT], n_iter=2, batch_size=3)
    written = processing.extra_generation_params
    seeds = [[0, 1, 2], [3, 4, 5]]
    for iteration, own in enumerate(seeds):  # as the WebUI does while it makes them
        vars(processing).update(iteration=iteration, seeds=own)
        for index in range(3):
            text = written["IP-Adapter 1"](p=processing, index=index, all_seeds=own, comments=[])
            assert f"batch_start: {(3 * iteration + index) % 2}" in text
    for item in range(6):  # and when somebody asks afterwards
        text = written["IP-Adapter 1"](p=processing, index=item, all_seeds=[*seeds[0], *seeds[1]])
        assert f"batch_start: {item % 2}" in text
    grid = written["IP-Adapter 1"](p=processing, index=0, all_seeds=seeds[1], use_main_prompt=True)
    assert "batch_start: 0" in grid
    assert isinstance(written["IP-Adapter 2"], str)
