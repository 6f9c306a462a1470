"""docs/features.md is what the examples say, and each of its payloads does something."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch

from lib_ipadapter.model.face_file import write_face
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.faces import face_folders
from lib_ipadapter.session.unit import FIELDS, TOPICS, Unit
from lib_ipadapter.session.unit.passes import Pass, Source
from lib_ipadapter.webui.api import parse_units
from pocket import ship
from pocket.examples import EXAMPLES
from pocket.examples.example import Example, filled
from pocket.examples.pictures import PICTURES
from pocket.features import SHEETS, TEXT, page, save_prompt
from pocket.studio import Studio
from tests.hosts.originals import NUMPY
from tests.model.faces import FakeAnalyser, embedding, face
from tests.models import filled as with_weights
from tests.models import save_adapter, variant

pytestmark = pytest.mark.filterwarnings(NUMPY)

ALL = [example for examples in EXAMPLES.values() for example in examples]
PAYLOADS = re.findall(r"```json\n(.*?)```", TEXT.read_text(encoding="utf-8"), re.DOTALL)
STEPS = 3


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """With all that the payloads call by a name: an encoder, a saved prompt, a saved face, and files for faces."""
    home = tmp_path_factory.mktemp("home")
    studio = Studio(home)
    shutil.copytree(ship.ENCODER, home / "clip_vision" / "pocket")
    studio.folders["encoder_folders"] = [home / "clip_vision"]
    studio.host = studio.host_of(studio.pipeline)
    save_prompt(studio, home)
    studio.library.faces.open_analyser = lambda _: FakeAnalyser([face(1), face(2, scale=0.5)])
    write_face(face_folders([home])[0] / "ada.safetensors", torch.tensor([embedding(3)]))
    features = studio.library.sizes(home / "clip_vision" / "pocket").hidden_size
    for kind, name in ((Kind.FACEID, "ip-adapter-faceid_sd15"), (Kind.FACEID_PLUS_V2, "my-faces")):
        about = variant(kind, studio.pipeline.unet)
        save_adapter(with_weights(replace(about, features=about.features and features)), home / f"{name}.safetensors")
    return studio


def test_the_page_is_what_the_command_writes() -> None:
    assert TEXT.read_text(encoding="utf-8") == page()


def test_every_example_has_a_name_of_its_own_and_its_picture_is_there() -> None:
    names = [example.name for example in ALL]
    assert len(set(names)) == len(names)
    shown = {SHEETS / f"{example.name}.png" for example in ALL if example.drawn}
    shown |= {SHEETS / "pictures" / name for example in ALL for name in example.pictures}
    assert shown == {*SHEETS.rglob("*.png")}


def test_every_topic_has_an_example() -> None:
    assert list(EXAMPLES) == list(TOPICS)
    assert all(EXAMPLES.values())
    assert len(PAYLOADS) == len(ALL)


def units_of(text: str) -> list[Unit]:
    return parse_units(json.loads(filled(text))["alwayson_scripts"]["IP-Adapter"]["args"])


@pytest.mark.parametrize("text", PAYLOADS, ids=[example.name for example in ALL])
def test_each_payload_is_taken(text: str) -> None:
    assert all(unit.active for unit in units_of(text) if unit.enabled)


def test_every_field_stands_in_a_payload() -> None:
    given = [unit for text in PAYLOADS for unit in json.loads(text)["alwayson_scripts"]["IP-Adapter"]["args"]]
    said = {name for unit in given for name in unit}
    assert said == {field.name for field in FIELDS}


@pytest.mark.parametrize("name", ["weight_type", "combine", "crop", "embeds_scaling", "noise_kind", "passes"])
def test_every_choice_is_shown(name: str) -> None:
    field = next(field for field in FIELDS if field.name == name)
    given = {unit.get(name, field.default) for example in ALL for cell in example.cells for unit in cell.units}
    assert given == {*field.choices}


def from_the_job(unit: Unit) -> Unit:
    """With the picture that img2img, or its folder of references, would bring, and with its inpaint mask."""
    if unit.side.of_inpaint:
        return replace(unit, mask=PICTURES["left-half"](), region="inside the mask")
    return unit if unit.reference == Source.PICTURE else replace(unit, image=PICTURES["purple-stripes"]())


def in_passes(units: list[Unit]) -> list[list[Unit]]:
    """Those that act together in a pass of a job."""
    found: list[list[Unit]] = []
    for now in Pass:
        acting = [unit for unit in units if unit.enabled and unit.acts_in(now)]
        found += [acting] if acting and acting not in found else []
    return found


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_each_payload_changes_each_picture_of_the_batch(studio: Studio, example: Example) -> None:
    units = [from_the_job(unit) for unit in units_of(PAYLOADS[ALL.index(example)])]
    options = {"num_inference_steps": STEPS, "num_images_per_prompt": example.job.get("batch_size", 1)}
    plain = studio.latents(example.prompt, example.seed, **options)
    passes = in_passes(units)
    assert passes
    for acting in passes:
        change = studio.latents(example.prompt, example.seed, *acting, **options) - plain
        assert change.isfinite().all()
        assert change.abs().amax(dim=(1, 2, 3)).min() > 0.01
