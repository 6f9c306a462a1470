"""The pocket model in the WebUI: an ordinary checkpoint with ordinary adapters, and diffusers' picture."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from diffusers.schedulers.scheduling_euler_discrete import EulerDiscreteScheduler
from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket import demo, ship
from pocket.draw import draw
from pocket.examples import EXAMPLES
from pocket.examples.example import Example, filled
from pocket.examples.pictures import PICTURES
from pocket.facts import SHOWN
from pocket.judge import judge
from pocket.scenes import SIZE
from pocket.studio import GUIDANCE, Studio, unit
from pocket.webui import install
from tests.hosts.originals import NUMPY
from tests.live.client import Client, Json, difference, encode
from tests.live.conftest import HOME, OPTIONS, REFERENCES, ROOT
from tests.live.host import Installed, Setup, running

STEPS = 28
"""With 28 both hosts' samplers ask the UNet at the same whole timesteps, 37 apart."""

SEED = 7
REFERENCE = draw(demo.REFERENCES[1])


@pytest.fixture(scope="module")
def pocket(installed: Installed) -> Iterator[Client]:
    models = HOME / "pocket-models"
    install(models)
    options = {**OPTIONS, "sd_model_checkpoint": ship.CHECKPOINT.name}
    with running(installed, Setup(HOME / "pocket", models, {"ip-adapter": ROOT}, options)) as webui:
        yield Client(webui.url)


@pytest.fixture(scope="module")
def studio() -> Studio:
    """With the sampler that the WebUI calls Euler."""
    made = Studio()
    config = made.pipeline.scheduler.config
    made.pipeline.scheduler = EulerDiscreteScheduler.from_config(config, timestep_spacing="linspace", steps_offset=0)
    return made


def by_webui(pocket: Client, prompt: str, *units: Json, **more: Any) -> np.ndarray:
    usual = {"steps": STEPS, "cfg_scale": GUIDANCE, "width": SIZE, "height": SIZE, "seed": SEED}
    return pocket.txt2img(list(units), prompt=prompt, negative_prompt="", **{**usual, **more}).picture


def by_diffusers(studio: Studio, prompt: str, *units: Unit) -> np.ndarray:
    picture = studio.draw(prompt, SEED, *units, num_inference_steps=STEPS, guidance_scale=GUIDANCE)
    return np.asarray(picture)


@pytest.mark.filterwarnings(NUMPY)
@pytest.mark.parametrize("kind", [None, Kind.BASE, Kind.PLUS])
@pytest.mark.parametrize("prompt", ["", "a star", "a small cross on the left, watercolour"])
def test_both_hosts_make_the_same_picture(
    pocket: Client, studio: Studio, kind: Kind | None, prompt: str, measured: Any
) -> None:
    units = [unit(kind, REFERENCE, 0.8)] if kind else []
    asked = [{"image": encode(REFERENCE), "model": own.model, "scale": own.scale} for own in units]
    theirs, ours = by_webui(pocket, prompt, *asked), by_diffusers(studio, prompt, *units)
    measured(f"WebUI against diffusers, {kind.value if kind else 'no adapter'}, {prompt!r}", difference(theirs, ours))
    assert difference(theirs, ours) <= 2
    if units:
        assert difference(theirs, by_webui(pocket, prompt)) > 50


def test_a_picture_alone_is_followed(pocket: Client) -> None:
    asked = {"image": encode(REFERENCE), "model": ship.adapter_path(SHOWN).stem, "scale": 1.0}
    options = {"sampler_name": "DPM++ 2M", "steps": 16}
    pictures = [by_webui(pocket, "", asked, seed=seed, **options) for seed in range(4)]
    found = [judge(Image.fromarray(picture)).agrees(demo.REFERENCES[1]) for picture in pictures]
    assert all(one["colour"] for one in found)
    assert sum(one["texture"] for one in found) >= 3


def test_in_the_page_the_text_says_the_shape_and_the_picture_the_look(pocket: Client, browser: Any) -> None:
    """As the README begins; its screenshot is kept to be looked at, and is what stands there."""
    from tests.live.page import DESKTOP, PATIENCE, SCREENSHOTS, Page

    context = browser.new_context(viewport={**DESKTOP, "height": 680})
    context.set_default_timeout(PATIENCE)
    page = Page(context.new_page()).open(f"{pocket.url}/?__theme=dark")
    page.paste(f"a star\nSteps: 16, Sampler: DPM++ 2M, CFG scale: {GUIDANCE}, Seed: 4, Size: {SIZE}x{SIZE}")
    page.enable()
    page.upload(draw(demo.REFERENCES[0]).resize((384, 384), Image.Resampling.LANCZOS))
    page.choose_model(ship.adapter_path(SHOWN).stem)
    page.generate()
    found, wanted = judge(Image.fromarray(page.picture())), demo.REFERENCES[0].things[0]
    assert (found.shape, found.colour, found.texture) == ("star", wanted.colour, wanted.texture)
    page.panel.scroll_into_view_if_needed()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.browser.screenshot(path=SCREENSHOTS / "pocket.png")
    context.close()


OF_OTHER_FILES = ("face", "which-face")
"""Examples whose adapters the pocket model has none of; `tests/pocket/test_features.py` makes them up."""

PAYLOADS = [one for examples in EXAMPLES.values() for one in examples if one.name not in OF_OTHER_FILES]


@pytest.fixture(scope="module")
def named(pocket: Client) -> list[str]:
    """What payloads call by name: a folder of pictures, and a saved prompt. Returns the axes of the plot."""
    (REFERENCES / "styles").mkdir(parents=True, exist_ok=True)
    for name in ("purple-stripes", "teal-spots"):
        PICTURES[name]().save(REFERENCES / "styles" / f"{name}.png")
    asked = {"image": encode(PICTURES["teal-spots"]()), "model": ship.adapter_path(SHOWN).stem}
    prompts = HOME / "pocket-models" / "ip-adapter" / "prompts"
    prompts.mkdir(exist_ok=True)
    (prompts / "dusk.safetensors").write_bytes(base64.b64decode(pocket.post("/ip-adapter/encode", asked)["embeds"]))
    plot = next(one for one in pocket.get("/sdapi/v1/script-info") if one["name"] == "x/y/z plot")
    return plot["args"][0]["choices"]


@pytest.mark.parametrize("example", PAYLOADS, ids=lambda example: example.name)
def test_a_payload_of_the_docs_does_something_as_it_stands(pocket: Client, named: list[str], example: Example) -> None:
    text = re.sub(r'"<number of (.+?)>"', lambda found: str(named.index(found[1])), json.dumps(example.payload))
    asked = {**json.loads(filled(text)), "steps": 4, "cfg_scale": GUIDANCE, "width": SIZE, "height": SIZE, "seed": SEED}
    rest = {"alwayson_scripts": {}, "script_name": None, "script_args": []}
    made = pocket.post(f"/sdapi/v1/{example.route}", asked)
    plain = pocket.post(f"/sdapi/v1/{example.route}", {**asked, **rest})
    assert made["images"][0] != plain["images"][0]
    assert "IP-Adapter error" not in made["info"]
