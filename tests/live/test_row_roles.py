"""Every row of every UNet call is given the image tokens of its own role.

What a row's role is, the probe learns from the text that the row is given; what it was given of the picture, from
the keys and values that went into the image attention of each of the 16 layers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.live import models, pictures
from tests.live.client import HIRES, Client, Json
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

LONG = "a cat that sits on a mat " * 20
"""Longer than the 75 tokens of one chunk of text."""

BOTH = "a cat AND a house :0.5"
PIX2PIX: Json = {"override_settings": {"sd_model_checkpoint": models.EDIT}, "denoising_strength": 1.0}


@dataclass(frozen=True)
class Case:
    """A request, and the rows of each UNet call that it makes the WebUI do."""

    rows: list[str]
    request: Json = field(default_factory=dict)
    settings: Json = field(default_factory=dict)


CASES = {
    "one call for both prompts": Case(["cu"] * 3),
    "prompt longer than 75 tokens": Case(["c", "u"] * 3, {"prompt": LONG}),
    "negative prompt longer than 75 tokens": Case(["c", "u"] * 3, {"negative_prompt": LONG}),
    "both long": Case(["cu"] * 3, {"prompt": LONG, "negative_prompt": LONG + "!"}),
    "padded to equal length": Case(["cu"] * 3, {"prompt": LONG}, {"pad_cond_uncond": True}),
    "padded the old way": Case(["cu"] * 3, {"negative_prompt": LONG}, {"pad_cond_uncond_v0": True}),
    "batch_cond_uncond off": Case(["c", "u"] * 3, {}, {"batch_cond_uncond": False}),
    "batch_cond_uncond off, batch of 2": Case(["cc", "uu"] * 3, {"batch_size": 2}, {"batch_cond_uncond": False}),
    "NGMS skips every other step": Case(["cu", "c", "cu", "c"], {"s_min_uncond": 100, "steps": 4}),
    "NGMS skips all steps": Case(["c"] * 3, {"s_min_uncond": 100}, {"s_min_uncond_all": True}),
    "CFG skipped early": Case(["c", "c", "c", "cu"], {"steps": 4}, {"skip_early_cond": 0.5}),
    "CFG skipped early, batch of 3": Case(["ccc"] * 2 + ["cccuuu"], {"batch_size": 3}, {"skip_early_cond": 0.4}),
    "CFG skipped early, AND": Case(["cc"] * 2 + ["ccu"], {"prompt": BOTH}, {"skip_early_cond": 0.4}),
    "CFG scale 1": Case(["cu"] * 3, {"cfg_scale": 1}),
    "AND with weights": Case(["ccu"] * 3, {"prompt": BOTH}),
    "AND, batch of 2": Case(["ccccuu"] * 3, {"prompt": BOTH, "batch_size": 2}),
    "AND with a long prompt, batch of 3": Case(
        ["cccccc", "uuu"] * 3, {"prompt": f"{LONG} AND a house", "batch_size": 3}
    ),
    "AND, long, batch of 3, batch_cond_uncond off": Case(
        ["ccc", "ccc", "uuu"] * 3,
        {"prompt": f"{LONG} AND a house", "batch_size": 3},
        {"batch_cond_uncond": False},
    ),
    "batch of 2": Case(["ccuu"] * 3, {"batch_size": 2}),
    "batch of 3": Case(["cccuuu"] * 3, {"batch_size": 3}),
    "batch of 4": Case(["ccccuuuu"] * 3, {"batch_size": 4}),
    "two batches": Case(["cu"] * 6, {"n_iter": 2}),
    "prompt that changes on the way": Case(["cu"] * 3, {"prompt": "a [cat:house:0.5]"}),
    "hires fix": Case(["cu"] * 5, HIRES),
    "hires fix, long prompt, batch of 2": Case(["cc", "uu"] * 5, {**HIRES, "prompt": LONG, "batch_size": 2}),
    "hires fix with another prompt": Case(["cu"] * 3 + ["c", "u"] * 2, {**HIRES, "hr_prompt": LONG}),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_get_the_image_tokens_of_their_role(name: str, client: Client, probe: Probe, unit: MakeUnit) -> None:
    case = CASES[name]
    with client.settings(**case.settings), probe.recording() as seen:
        client.txt2img([unit()], **case.request)
    assert seen.rows == case.rows
    seen.check_roles()


@pytest.mark.parametrize("prompt", ["a cat", LONG], ids=["equal", "unequal"])
def test_rows_that_an_extension_asks_for_once_more_get_their_role(
    prompt: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with probe.recording({"what": "negative again"}) as seen:
        client.txt2img([unit()], prompt=prompt, batch_size=2)
    assert seen.rows == (["ccuu", "uu"] if prompt == "a cat" else ["cc", "uu", "uu"]) * 3
    seen.check_roles()


def test_rows_get_their_role_where_an_extension_makes_windows_of_the_pictures(
    client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with probe.recording({"what": "windows", "size": 2}) as seen:
        client.txt2img([unit()], batch_size=5)
    assert seen.rows == ["ccuu", "ccuu", "cu"] * 3
    seen.check_roles()


def test_every_unit_follows_the_roles(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        client.txt2img([unit(), unit(model=models.PLUS), unit(model=models.FULL)], prompt=LONG, batch_size=2)
    assert seen.rows == ["cc", "uu"] * 3
    seen.check_roles(units=3)


SAMPLERS = ["Euler a", "Heun", "DPM++ 2M", "DPM++ SDE", "DPM2", "LMS", "LCM", "DDIM", "PLMS", "UniPC"]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("prompt", ["a cat", LONG], ids=["equal", "unequal"])
def test_rows_get_their_role_with_every_sampler(
    sampler: str, prompt: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with probe.recording() as seen:
        client.txt2img([unit()], sampler_name=sampler, prompt=prompt, steps=4)
    assert set(seen.rows) == ({"cu"} if prompt == "a cat" else {"c", "u"})
    seen.check_roles()


@pytest.mark.parametrize(("image_scale", "rows"), [(1.5, "cuu"), (1.0, "cu")])
def test_the_chunks_of_instruct_pix2pix_get_their_roles(
    image_scale: float, rows: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """Prompt with the source picture, no prompt with it, no prompt without it."""
    with probe.recording() as seen:
        client.img2img(pictures.reference(64, 64), [unit()], image_cfg_scale=image_scale, **PIX2PIX)
    assert set(seen.rows) == {rows}
    seen.check_roles()


def test_instruct_pix2pix_in_a_batch(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        client.img2img(pictures.reference(64, 64), [unit()], image_cfg_scale=1.5, batch_size=2, **PIX2PIX)
    assert set(seen.rows) == {"ccuuuu"}
    seen.check_roles()
