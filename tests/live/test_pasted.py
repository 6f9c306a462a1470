"""Picture -> parameters -> paste -> generate: bit for bit the same, whatever field of a unit was set."""

from __future__ import annotations

import base64
import math
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from lib_ipadapter.model.face_file import write_face
from lib_ipadapter.session.unit import FIELDS
from tests.live import models, pictures
from tests.live.client import Client, encode
from tests.live.conftest import REFERENCES
from tests.live.pictures import MakeUnit

pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
from tests.live.page import OpenPage, send


def turned(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_90)


def upside_down(picture: Image.Image) -> Image.Image:
    return picture.transpose(Image.Transpose.ROTATE_180)


REFERENCE, WIDE = pictures.reference(), pictures.reference(400, 200)
HALF = Image.new("L", (64, 64))
HALF.paste(255, (0, 0, 32, 64))
FACE, PROMPT, FOLDER = "pasted, a face", "pasted: a prompt", "pasted, two"
"""Names that the infotext has to put in quotes."""


OURS = re.compile(r'IP-Adapter [^:]+: (?:"(?:\\.|[^"\\])*"|[^,]*)')
"""What this extension writes into parameters; in others the page says "CFG scale: 7.0" where the API says "7"."""


@dataclass(frozen=True)
class Case:
    """A unit's settings, and its pictures, which no infotext holds."""

    said: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, Image.Image] = field(default_factory=dict)
    image: Image.Image | None = field(default_factory=pictures.reference)
    further: tuple[Image.Image, ...] = ()
    job: dict[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        return {*self.said, *self.shown, *(["images"] if self.further else [])}


COMPOSITION = {"weight_type": "style and composition", "composition_scale": 0.75}
PASSES = {"enable_hr": True, "hr_scale": 2, "hr_upscaler": "None", "denoising_strength": 0.6}
FACEID = {"model": models.FACEID, "face": FACE}

CASES = {
    "when and how strongly": Case({"scale": 1.3, "start": 0.1, "end": 0.85, "curve": "0:1, 0.5:0.3, 1:0"}),
    "weight type, scaling": Case({"weight_type": "strong style transfer", "embeds_scaling": "K+V w/ C penalty"}),
    "layers": Case({"layers": "0:1, 4:0.25, 5:-1"}),
    "grid": Case({"grid": "1 0; 0.5 1"}),
    "another encoder": Case({"encoder": models.ENCODER, "model": models.PLUS}),
    "several": Case({"combine": "norm average", "weights": "1 0.5 2"}, further=(turned(REFERENCE), upside_down(WIDE))),
    "in turn": Case({"combine": "batch", "batch_start": 1}, further=(turned(REFERENCE), upside_down(WIDE))),
    "seen": Case({"crop": "pad", "background": "#3060c0", "sharpening": 0.6, "model": models.PLUS}, image=WIDE),
    "look only here": Case(shown={"image_mask": HALF}),
    "masked": Case({"region": "outside the mask", "mask_blur": 12.0}, {"mask": HALF}),
    "negative": Case({"noise": 0.4, "noise_kind": "shuffle"}, {"negative_image": turned(REFERENCE)}),
    "composition": Case(COMPOSITION, {"composition_image": turned(REFERENCE)}),
    "hires alone": Case({"passes": "hires", "detailer": "never"}, job=PASSES),
    "saved prompt": Case({"embeds": PROMPT}, image=None),
    "a whole folder": Case({"reference": "whole folder", "reference_folder": FOLDER, "combine": "average"}, image=None),
    "face": Case({**FACEID, "face_combine": "concat", "lora_scale": 0.5}, image=None),
    "kind, shortcut, face's number": Case(
        {"model": models.PLUS, "kind": "plus", "shortcut_scale": 1.5, "face_index": 2}
    ),
}
"""What is set, in as few pictures as it takes; `test_every_field_is_pasted` sees that none is left out."""

OTHERWISE = {"enabled", "image"}
"""In every picture, or in a test of their own."""


@pytest.fixture(autouse=True)
def saved(models_dir: Path, client: Client) -> Iterator[None]:
    """A face, a prompt and a folder of references by name."""
    folder = models_dir / "ip-adapter"
    embeds = client.post("/ip-adapter/encode", pictures.unit_maker(turned(REFERENCE))())["embeds"]
    prompt, face = folder / "prompts" / f"{PROMPT}.safetensors", folder / "faces" / f"{FACE}.safetensors"
    for path in (prompt, face):
        path.parent.mkdir(exist_ok=True)
    prompt.write_bytes(base64.b64decode(embeds))
    write_face(face, torch.tensor([[math.sin(n * row) for n in range(512)] for row in (1, 2)]))
    (REFERENCES / FOLDER).mkdir(parents=True, exist_ok=True)
    for name, picture in (("a", REFERENCE), ("b", turned(WIDE))):
        picture.save(REFERENCES / FOLDER / f"{name}.png")
    yield
    prompt.unlink()
    face.unlink()
    shutil.rmtree(REFERENCES / FOLDER)


def test_every_field_is_pasted() -> None:
    asked = set().union(*(case.names for case in CASES.values()))
    assert asked | OTHERWISE == {one.name for one in FIELDS}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_pasted_parameters_make_the_same_picture(
    case: Case, client: Client, open_page: OpenPage, unit: MakeUnit
) -> None:
    sent = {name: encode(picture) for name, picture in case.shown.items()}
    further = {"images": [encode(picture) for picture in case.further]} if case.further else {}
    image = encode(case.image) if case.image else None
    made = client.txt2img([unit(**{"image": image, **case.said, **sent, **further})], **case.job)
    plain = client.txt2img(**case.job)
    assert not np.array_equal(made.picture, plain.picture)
    page = open_page()
    page.paste(made.infotext)
    if case.image:
        page.upload(case.image)
    page.unfold()
    for name, picture in case.shown.items():
        send(page.field(name), picture)
    if case.further:
        page.add_pictures(case.further)
    page.generate()
    assert np.array_equal(page.picture(), made.picture)
    assert OURS.findall(page.parameters()) == OURS.findall(made.infotext) != []


def test_the_input_as_reference_is_pasted(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    source = turned(pictures.reference(64, 64))
    client.settle()
    made = client.img2img(source, [unit(image=None, reference="input")], steps=6, denoising_strength=0.6)
    page = open_page("img2img")
    send(page.at("img2img_image"), source)
    page.paste(made.infotext)
    client.settle()
    page.generate()
    assert np.array_equal(page.picture(), made.picture)


def test_a_folder_of_references_is_pasted(client: Client, open_page: OpenPage, unit: MakeUnit) -> None:
    """Only a batch of files makes pictures with it: tests/live/test_passes.py reads their parameters."""
    written = r"reference: folder, reference_folder: \"people, 2\""
    infotext = client.txt2img([unit()]).infotext.replace(f"model: {models.BASE}", f"model: {models.BASE}, {written}")
    page = open_page()
    page.paste(infotext)
    assert [page.value(name) for name in ("reference", "reference_folder")] == ["folder", "people, 2"]
