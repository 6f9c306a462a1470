"""Which passes a unit acts in, in the real WebUI: hires fix, jobs inside the job, batches of files, loopback."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.model.picture import content_hash
from tests.live import models, pictures
from tests.live.client import HIRES, Answer, Client, Json, Pixels, decode, difference, encode
from tests.live.conftest import REFERENCES
from tests.live.pictures import MakeUnit
from tests.live.probe_client import BOXES, Call, Probe, jobs


def acting(calls: list[Call]) -> str:
    """A letter for each UNet call: x when the picture acted, with the image tokens of every row's own role."""
    assert all(call.image in ([], [call.text]) for call in calls)
    return "".join("x" if call.image else "." for call in calls)


def same(one: Answer, other: Answer) -> bool:
    return len(one.pictures) == len(other.pictures) and all(map(np.array_equal, one.pictures, other.pictures))


HIRES_PASSES = {"both": "xxx" + "xx", "first": "xxx" + "..", "hires": "..." + "xx"}


@pytest.mark.parametrize("passes", HIRES_PASSES)
def test_hires_fix_has_the_unit_in_the_passes_that_were_chosen(
    passes: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with probe.recording() as seen:
        answer = client.txt2img([unit(passes=passes)], n_iter=3, **HIRES)
    assert acting(seen.calls) == HIRES_PASSES[passes] * 3
    assert (f"passes: {passes}" in answer.infotext) == (passes != "both")
    assert probe.hooks() == []


@pytest.mark.parametrize(("passes", "first", "hires"), [("first", True, False), ("hires", False, True)])
def test_one_pass_only_is_as_if_the_unit_were_switched_on_and_off_between_them(
    passes: str, first: bool, hires: bool, *, client: Client, unit: MakeUnit
) -> None:
    chosen = client.txt2img([unit(passes=passes)], **HIRES)
    switched = client.txt2img([unit(enabled=first)], **HIRES, **jobs(hires=[unit(enabled=hires)]))
    assert same(chosen, switched)
    assert not same(chosen, client.txt2img([unit()], **HIRES))


def test_img2img_is_a_first_pass(client: Client, probe: Probe, unit: MakeUnit, reference: Image.Image) -> None:
    with probe.recording() as seen:
        for passes in ("first", "hires"):
            client.img2img(reference, [unit(passes=passes)], steps=4, denoising_strength=1.0)
    assert acting(seen.calls) == "xxxx" + "...."


INSIDE = {"also": "xxx" + "xxxxxx", "never": "xxx" + "......", "only": "..." + "xxxxxx"}
"""Three steps of the picture, and three for each face."""


@pytest.mark.parametrize("detailer", INSIDE)
def test_jobs_inside_the_job_have_the_unit_as_was_chosen(
    detailer: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """Three pictures, each with two jobs inside; the second and the third picture are as the first."""
    with probe.recording() as seen:
        client.txt2img([unit(detailer=detailer)], n_iter=3, **jobs(boxes=BOXES, stems=["ip_adapter"]))
    assert acting(seen.calls) == INSIDE[detailer] * 3
    assert probe.hooks() == []


def detailed(client: Client, units: list[Json], **asked: Any) -> Answer:
    client.settle()
    return client.txt2img(units, n_iter=2, **jobs(boxes=BOXES, **{"stems": ["ip_adapter"], **asked}))


def test_inside_the_job_it_is_as_if_it_had_units_of_its_own(client: Client, unit: MakeUnit) -> None:
    """And each choice makes a picture of its own."""
    on, off = unit(), unit(enabled=False)
    apart = {"also": (on, on), "never": (on, off), "only": (off, on)}
    made = {choice: detailed(client, [unit(detailer=choice)]) for choice in INSIDE}
    for choice, (outer, inner) in apart.items():
        assert same(made[choice], detailed(client, [outer], inner=[inner]))
    assert not any(same(*pair) for pair in itertools.combinations(made.values(), 2))


def test_a_detailer_that_lets_no_script_of_ours_in_gets_a_plain_job(client: Client, unit: MakeUnit) -> None:
    assert same(detailed(client, [unit()], stems=[]), detailed(client, [unit(detailer="never")]))


def test_two_units_one_for_the_picture_and_one_for_the_faces(client: Client, probe: Probe, unit: MakeUnit) -> None:
    face = pictures.unit_maker(pictures.reference().rotate(180))
    units = [unit(detailer="never"), face(detailer="only")]
    with probe.recording() as seen:
        client.txt2img(units, **jobs(boxes=BOXES, stems=["ip_adapter"]))
    assert [call.outputs for call in seen.calls] == [16] * 9
    assert len({sort_of(call) for call in seen.calls[:3]}) == len({sort_of(call) for call in seen.calls[3:]}) == 1
    assert sort_of(seen.calls[0]) != sort_of(seen.calls[3])


def test_every_picture_keeps_its_own_parameters(client: Client, unit: MakeUnit) -> None:
    plain = client.txt2img([unit(detailer="only")], n_iter=2)
    answer = detailed(client, [unit(detailer="only")])
    assert answer.info["infotexts"] == plain.info["infotexts"]
    assert all("detailer: only" in text for text in answer.info["infotexts"])


def test_a_failure_inside_is_said_of_the_picture(client: Client, probe: Probe, unit: MakeUnit) -> None:
    """The WebUI swallows it, and hands out the picture without the faces."""
    answer = detailed(client, [unit(model="nope", detailer="only")])
    assert "IP-Adapter error" in answer.infotext
    assert "'nope'" in answer.infotext
    assert probe.hooks() == []


@pytest.mark.parametrize("detailer", INSIDE)
def test_where_it_goes_on_without_the_adapter_each_picture_of_a_batch_says_so(
    detailer: str, client: Client, unit: MakeUnit
) -> None:
    with client.settings(ip_adapter_go_on=True):
        answer = client.txt2img(
            [unit(model="nope", detailer=detailer)], batch_size=2, **jobs(boxes=BOXES, stems=["ip_adapter"])
        )
    assert all("IP-Adapter error" in text for text in answer.info["infotexts"])
    claims = ["IP-Adapter 1" in text for text in answer.info["infotexts"]]
    assert claims == [detailer == "only"] * 2


def test_after_a_job_that_broke_off_the_next_is_not_taken_for_one_inside(
    client: Client, probe: Probe, unit: MakeUnit
) -> None:
    expected = client.txt2img([unit(detailer="never")])
    with pytest.raises(Exception, match="500"), probe.recording({"step": 1, "what": "raise"}):
        client.txt2img([unit(detailer="never")])
    assert same(client.txt2img([unit(detailer="never")]), expected)


def sort_of(call: Call) -> tuple[float, float]:
    """Tells one reference from another: what the first layer was given of it."""
    _, keys, values = call.layers[0]
    return keys, values


INPUT: Json = {"model": models.BASE, "reference": "input"}


def test_the_input_picture_is_as_good_as_the_same_one_given(client: Client) -> None:
    source = pictures.reference(96, 64)
    made = []
    for units in ([INPUT], [pictures.unit_maker(source)()]):
        client.settle()
        made.append(client.img2img(source, units, batch_size=2, n_iter=2))
    assert same(*made)
    assert all(f"image: {content_hash(source)[:12]}" in answer.infotext for answer in made)


def test_only_masked_inpainting_does_not_crop_it(client: Client, probe: Probe) -> None:
    source, mask = pictures.reference(64, 64), Image.new("L", (64, 64))
    mask.paste(255, (8, 8, 24, 24))
    masked = {"mask": encode(mask), "inpaint_full_res": True, "inpaint_full_res_padding": 4}
    with probe.recording() as seen:
        for units in ([INPUT], [pictures.unit_maker(source)()]):
            client.img2img(source, units, **masked)
    assert acting(seen.calls) == "x" * len(seen.calls)
    assert len({sort_of(call) for call in seen.calls}) == 1


def test_loopback_takes_each_loops_own_input(client: Client, probe: Probe) -> None:
    loops = {"script_name": "Loopback", "script_args": [3, 0.7, "Linear", "None"], "denoising_strength": 0.7}
    source = pictures.reference(64, 64)
    with probe.recording() as seen:
        answer = client.img2img(source, [INPUT], steps=4, **loops)
    each = len(seen.calls) // 3
    told = [sort_of(call) for call in seen.calls]
    assert acting(seen.calls) == "x" * len(told)
    starts = [source, *map(Image.fromarray, answer.pictures[-3:-1])]
    assert [told[i * each] for i in range(3)] == [given(client, probe, picture) for picture in starts]
    assert len(set(told)) == 3


def given(client: Client, probe: Probe, picture: Image.Image) -> tuple[float, float]:
    """What the first layer is given of a picture that stands in the unit itself."""
    with probe.recording() as seen:
        client.txt2img([pictures.unit_maker(picture)()], steps=1)
    return sort_of(seen.calls[0])


MakeBatch = Callable[..., tuple[list[Pixels], list[str]]]


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Image.Image]:
    """Three pictures to work on, and references that are called as they are, where no request can say otherwise."""
    source = pictures.reference(64, 64)
    inputs = {"a": source, "b": source.rotate(90), "c": source.rotate(180)}
    (tmp_path / "in").mkdir()
    (REFERENCES / "people, 2").mkdir(parents=True, exist_ok=True)
    for name, picture in inputs.items():
        picture.save(tmp_path / "in" / f"{name}.png")
        picture.rotate(45).save(REFERENCES / "people, 2" / f"{name.upper()}.webp", lossless=True)
    return inputs


@pytest.fixture
def batch(client: Client, tmp_path: Path) -> MakeBatch:
    def make(**unit: Any) -> tuple[list[Pixels], list[str]]:
        client.settle()
        request = {"folder": str(tmp_path / "in"), "units": [{"model": models.BASE, **unit}]}
        answer = client.post("/ip-adapter-probe/batch", request)
        return [decode(image) for image in answer["images"]], answer["infotexts"]

    return make


def references(calls: list[Call]) -> list[tuple[float, float]]:
    """Each that acted, in turn."""
    return [sort for sort, _ in itertools.groupby(sort_of(call) for call in calls if call.image)]


def test_each_file_of_a_batch_is_its_own_reference(
    client: Client, probe: Probe, batch: MakeBatch, files: dict[str, Image.Image]
) -> None:
    with probe.recording() as seen:
        made, texts = batch(reference="input")
    expected = [given(client, probe, picture) for picture in files.values()]
    assert references(seen.calls) == expected
    hashes = [content_hash(picture)[:12] for picture in files.values()]
    assert ["image: " + one in text for one, text in zip(hashes, texts, strict=True)] == [True] * 3
    assert min(difference(made[0], other) for other in made[1:]) > 0


def test_each_file_of_a_batch_gets_the_reference_of_its_name(
    client: Client, probe: Probe, batch: MakeBatch, files: dict[str, Image.Image]
) -> None:
    with probe.recording() as seen:
        _, texts = batch(reference="folder", reference_folder="people, 2")
    expected = [given(client, probe, picture.rotate(45)) for picture in files.values()]
    assert references(seen.calls) == expected
    assert all('reference: folder, reference_folder: \\"people, 2\\"' in text for text in texts)
