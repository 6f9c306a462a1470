"""References that are the job's own pictures, or those of a folder, with a stand-in for the WebUI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from lib_ipadapter.model.picture import content_hash
from lib_ipadapter.session.unit import Unit
from tests.webui.fake_host import FakeProcessing, FakeWebUI
from tests.webui.jobs import BATCH, BLUE, MADE, RED, UNIT, alone, begin, inside, sampled

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


@pytest.mark.parametrize("reference", ["folder", "whole folder"])
def test_a_folder_that_cannot_be_read_is_a_sentence_without_its_place(
    reference: str, folder: Path, webui: FakeWebUI, door: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", refuse)
    from lib_ipadapter.webui import references

    assert references.folders() == []
    with pytest.raises(Exception, match=r"cannot be read \(Permission denied\)") as caught:
        by_name(webui, door, "/somewhere/one.jpg", reference=reference)
    assert str(webui.data) not in str(caught.value)


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
