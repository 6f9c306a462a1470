"""The panel on the pocket model: what the page makes is what the model makes, and its parameters bring it back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from pocket import page, parameters, ship
from pocket.demo import REFERENCES
from pocket.draw import draw
from pocket.parameters import Settings
from pocket.studio import Studio, unit
from tests.hosts.originals import NUMPY

# What gradio counts for its own statistics, with a pandas that is newer than it.
PANDAS = "ignore:'future.no_silent_downcasting' is deprecated"

pytestmark = [pytest.mark.filterwarnings(NUMPY), pytest.mark.filterwarnings(PANDAS)]

MODEL = ship.adapter_path(Kind.BASE).stem
ASKED = Settings("a star", "red", seed=3, steps=4, guidance=5.0)


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("saved"))


@pytest.fixture
def blocks(studio: Studio) -> gr.Blocks:
    return page.build(studio)


@pytest.fixture
def client(blocks: gr.Blocks, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    url = page.launch(blocks, prevent_thread_lock=True, quiet=True)
    yield Client(url, verbose=False)
    blocks.close(verbose=False)


def values(blocks: gr.Blocks, asked: Settings, **chosen: Any) -> list[Any]:
    """What the components hold when the page opens, but for `asked` and what is `chosen` in the first unit."""
    said = {f"ip_adapter_txt2img_unit_1_{name}": value for name, value in chosen.items()}
    components = next(f for f in blocks.fns.values() if f.api_name == "generate").inputs[5:]
    return [*astuple(asked), *(said.get(component.elem_id, component.value) for component in components)]


def expected(studio: Studio, asked: Settings, *units: Unit) -> np.ndarray:
    options = {"num_inference_steps": asked.steps, "guidance_scale": asked.guidance}
    return np.asarray(studio.draw(asked.prompt, asked.seed, *units, negative_prompt=asked.negative, **options))


def test_a_browser_gets_the_models_picture_bit_for_bit(
    client: Client, blocks: gr.Blocks, studio: Studio, tmp_path: Path
) -> None:
    draw(REFERENCES[0]).save(tmp_path / "reference.png")
    chosen = {"enabled": True, "image": handle_file(str(tmp_path / "reference.png")), "model": MODEL, "scale": 0.75}
    gallery, infotext = client.predict(*values(blocks, ASKED, **chosen), api_name="/generate")
    made = np.asarray(Image.open(gallery["value"][0]["image"]))
    wanted = unit(Kind.BASE, draw(REFERENCES[0]), 0.75)
    assert np.array_equal(made, expected(studio, ASKED, wanted))
    assert not np.array_equal(made, expected(studio, ASKED))
    assert parameters.read(infotext)[0] == ASKED
    assert f'IP-Adapter 1: "model: {MODEL}, scale: 0.75' in infotext


def test_a_seed_by_lot_is_in_the_parameters_and_brings_the_picture_back(blocks: gr.Blocks, studio: Studio) -> None:
    first, infotext = page.drawer(studio)(*values(blocks, replace(ASKED, seed=-1)))
    asked, _ = parameters.read(infotext)
    assert asked.seed >= 0
    again, _ = page.drawer(studio)(*values(blocks, asked))
    assert np.array_equal(*(np.asarray(Image.open(shown.value[0]["image"]["path"])) for shown in (first, again)))


def test_what_a_user_must_do_is_said(blocks: gr.Blocks, studio: Studio) -> None:
    with pytest.raises(gr.Error, match="without a reference picture"):
        page.drawer(studio)(*values(blocks, ASKED, enabled=True, model=MODEL))
    with pytest.raises(gr.Error, match="passes=hires is for the WebUI"):
        page.drawer(studio)(*values(blocks, ASKED, enabled=True, model=MODEL, passes="hires"))


def test_pasted_parameters_are_put_into_the_components(blocks: gr.Blocks) -> None:
    paste = next(f for f in blocks.fns.values() if f.name == "values")
    infotext = parameters.write(ASKED, [unit(Kind.BASE, draw(REFERENCES[0]), 0.75)], "dpm++2m")
    pasted = dict(zip((block.elem_id for block in paste.outputs), paste.fn(infotext), strict=True))
    assert [pasted[f"txt2img_{name}"] for name in ("prompt", "seed", "cfg_scale")] == ["a star", 3, 5.0]
    found = [pasted[f"ip_adapter_txt2img_unit_1_{name}"] for name in ("enabled", "model", "scale")]
    assert found == [True, MODEL, 0.75]
    assert pasted["ip_adapter_txt2img_unit_2_enabled"] is False


def test_brackets_that_are_part_of_a_files_name_are_written(tmp_path: Path) -> None:
    (tmp_path / "mine [v2].safetensors").touch()
    chosen = replace(unit(Kind.BASE, draw(REFERENCES[0]), 0.75), model="mine [v2] [does not fit]")
    assert "model: mine [v2]," in parameters.write(ASKED, [chosen], "ddim", [tmp_path])


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), max_size=20).map(str.strip)


@given(TEXT, TEXT, st.integers(0, (1 << 32) - 1), st.integers(1, 50))
def test_parameters_come_back_as_they_were_written(prompt: str, negative: str, seed: int, steps: int) -> None:
    asked = Settings(prompt, negative, seed, steps)
    assert parameters.read(parameters.write(asked, [], "ddim"))[0] == asked


def test_parameters_from_strangers_are_clamped_or_ignored() -> None:
    asked, _ = parameters.read("a star\nSteps: 9999, Seed: none, CFG scale: inf")
    assert asked == Settings("a star", steps=50, guidance=15.0)
    assert parameters.read("a prompt, alone: with a colon")[0] == Settings("a prompt, alone: with a colon")
