"""SDXL in the WebUI: sgm's UNet with 70 layers, numbered in one order and run in another.

The checkpoint is narrow and random, and of SDXL's true structure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.live import models
from tests.live.client import Client, Json, Refused, difference
from tests.live.conftest import PROBE, ROOT
from tests.live.host import Installed, Setup, WebUI, running
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe
from tests.live.test_like_controlnet import CASES as LIKE_CONTROLNET
from tests.live.test_like_controlnet import differences
from tests.live.test_row_roles import CASES as ROW_ROLES

VISIBLE = 5
"""Of 255; what an adapter must at least move."""

LAYERS = 70
MIDDLE = [f"middle_block.1.transformer_blocks.{i}.attn2" for i in range(10)]


def blocks(side: str, depths: dict[int, int]) -> list[str]:
    """Paths of the layers in the blocks of one side, each block so many deep."""
    return [f"{side}.{n}.1.transformer_blocks.{i}.attn2" for n, depth in depths.items() for i in range(depth)]


INPUT = blocks("input_blocks", {4: 2, 5: 2, 7: 10, 8: 10})
OUTPUT = blocks("output_blocks", {0: 10, 1: 10, 2: 10, 3: 2, 4: 2, 5: 2})
NUMBERED, RUN = [*INPUT, *OUTPUT, *MIDDLE], [*INPUT, *MIDDLE, *OUTPUT]
"""The order in which the published files number the layers (1, 3, 5 and on), and that in which they run."""

MakeSdxlUnit = Callable[..., Json]


def on(checkpoint: str = models.SDXL, **request: Any) -> dict[str, Any]:
    return {"override_settings": {"sd_model_checkpoint": checkpoint}, **request}


@pytest.fixture
def sdxl_unit(unit: MakeUnit) -> MakeSdxlUnit:
    return lambda **changes: unit(**{"model": models.SDXL_BASE, **changes})


@pytest.fixture(scope="module", autouse=True)
def _usual_checkpoint(webui: WebUI) -> Iterator[None]:
    """Other files find the usual checkpoint."""
    yield
    Client(webui.url).txt2img(**on(models.TINY))


@pytest.mark.parametrize("model", [models.SDXL_BASE, models.SDXL_PLUS])
def test_an_adapter_steers_the_picture_and_leaves_nothing(
    model: str, client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit, measured: Callable[..., None]
) -> None:
    plain = client.txt2img(**on())
    before = probe.digest()
    with probe.recording() as seen:
        steered = client.txt2img([sdxl_unit(model=model)], **on())
    moved = difference(steered.picture, plain.picture)
    measured(f"SDXL, {model}: largest difference to the plain picture", moved)
    assert moved > VISIBLE
    seen.check_roles(layers=LAYERS)
    assert probe.hooks() == []
    assert probe.digest() == before
    after = client.txt2img(**on())
    assert np.array_equal(after.picture, plain.picture)
    assert after.infotext == plain.infotext


@pytest.mark.parametrize("changes", [{"scale": 0.0}, {"enabled": False}], ids=["scale 0", "disabled"])
def test_without_effect_it_is_the_picture_of_a_webui_without_the_extension(
    changes: Json, client: Client, bare: Client, sdxl_unit: MakeSdxlUnit
) -> None:
    expected = bare.txt2img(**on()).picture
    assert np.array_equal(client.txt2img([sdxl_unit(**changes)], **on()).picture, expected)
    assert np.array_equal(client.txt2img(**on()).picture, expected)


def test_each_layer_gets_the_maps_of_its_number_and_they_run_in_the_unets_order(
    client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit
) -> None:
    """The adapter's keys are the number of the map that made them, and its values the number below zero."""
    assert len(NUMBERED) == len(set(NUMBERED)) == LAYERS
    numbers = {name: 2 * i + 1 for i, name in enumerate(NUMBERED)}
    with probe.recording() as seen:
        client.txt2img([sdxl_unit(model=models.COUNTING, scale=0.01)], **on())
    assert len(seen.calls) == 3
    for call in seen.calls:
        assert [name for name, *_ in call.layers] == RUN
        for name, key, value in call.layers:
            assert key == pytest.approx(numbers[name], abs=0.01)
            assert value == pytest.approx(-numbers[name], abs=0.01)


@pytest.mark.parametrize("model", [models.SDXL_BASE, models.SDXL_PLUS])
@pytest.mark.parametrize(
    "name",
    [
        "one call for both prompts",
        "prompt longer than 75 tokens",
        "negative prompt longer than 75 tokens",
        "batch of 2",
        "AND, batch of 2",
        "AND with a long prompt, batch of 3",
        "CFG skipped early, AND",
        "hires fix, long prompt, batch of 2",
    ],
)
def test_rows_get_the_image_tokens_of_their_role(
    name: str, model: str, client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit
) -> None:
    case = ROW_ROLES[name]
    with client.settings(**case.settings), probe.recording() as seen:
        client.txt2img([sdxl_unit(model=model)], **on(**case.request))
    assert seen.rows == case.rows
    seen.check_roles(layers=LAYERS)


def test_an_empty_negative_prompt_is_zeros_and_still_unconditional(
    client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit
) -> None:
    with probe.recording() as seen:
        client.txt2img([sdxl_unit()], **on(negative_prompt=""))
    assert seen.rows == ["cu"] * 3
    seen.check_roles(layers=LAYERS)


@pytest.mark.parametrize("case", ["plain", "128 x 192", "batch of 2", "AND", "hires fix"])
def test_a_base_adapter_makes_controlnets_picture(
    case: str,
    *,
    beside_controlnet: Client,
    sdxl_unit: MakeSdxlUnit,
    reference: Image.Image,
    measured: Callable[..., None],
) -> None:
    apart, moved = differences(
        beside_controlnet,
        sdxl_unit,
        reference,
        adapter=models.SDXL_BASE,
        scale=0.8,
        request=on(**LIKE_CONTROLNET[case]),
    )
    measured(f"SDXL base, {case}: largest difference to ControlNet (to the plain picture)", f"{apart} ({moved})")
    assert moved > 20
    assert apart <= 1


@pytest.mark.parametrize(
    ("checkpoint", "model", "sentence"),
    [
        (models.SDXL, models.BASE, "it is for SD1.5, the checkpoint is SDXL"),
        (models.SDXL, models.PLUS, "it is for SD1.5, the checkpoint is SDXL"),
        (models.TINY, models.SDXL_BASE, "it is for SDXL, the checkpoint is SD1.5"),
        (models.SDXL_REFINER, models.SDXL_BASE, "it is for SDXL, the checkpoint is SDXL's refiner"),
    ],
)
def test_an_adapter_of_another_family_is_refused_in_a_sentence(
    checkpoint: str, model: str, sentence: str, *, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with pytest.raises(Refused) as refused:
        client.txt2img([unit(model=model)], **on(checkpoint))
    assert refused.value.status == 422
    assert sentence in refused.value.detail
    assert refused.value.detail.count("\n") == 0
    assert probe.hooks() == []


REFINERS = [models.SDXL_REFINER, models.TINY]
"""What follows SDXL by design, and what a user may choose by mistake."""


def refined(refiner: str, **request: Any) -> dict[str, Any]:
    return on(steps=4, refiner_checkpoint=refiner, refiner_switch_at=0.5, **request)


@pytest.mark.parametrize("refiner", REFINERS)
def test_a_refiner_rests_the_adapter_with_one_notice(
    refiner: str, *, webui: WebUI, client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit
) -> None:
    alone = client.txt2img([sdxl_unit()], **on()).picture
    so_far = len(webui.log)
    with probe.recording() as seen:
        made = client.txt2img([sdxl_unit()], **refined(refiner))
    outputs = [call.outputs for call in seen.calls]
    rests = outputs.index(0)
    assert rests > 0
    assert outputs == [LAYERS] * rests + [0] * (len(outputs) - rests)
    assert made.infotext.count("IP-Adapter rests from here on") == 1
    assert webui.log[so_far:].count("IP-Adapter rests from here on") == 1
    assert "Traceback" not in webui.log[so_far:]
    assert probe.hooks() == []
    assert np.array_equal(client.txt2img([sdxl_unit()], **on()).picture, alone)


@pytest.mark.parametrize("refiner", REFINERS)
def test_a_refiner_leaves_no_old_unet(refiner: str, client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit) -> None:
    client.txt2img(**on())
    probe.remember_unet()
    client.txt2img([sdxl_unit()], **refined(refiner))
    assert probe.old_unet_alive() is False


def test_no_hook_is_left_on_either_unet_when_both_stay_loaded(
    client: Client, probe: Probe, sdxl_unit: MakeSdxlUnit
) -> None:
    with client.settings(sd_checkpoints_limit=2):
        client.txt2img([sdxl_unit()], **refined(models.SDXL_REFINER))
        state = probe.state()
        with probe.recording() as seen:
            client.txt2img([sdxl_unit()], **on())
    assert state["unets"] == 2
    assert state["hooks"] == []
    seen.check_roles(layers=LAYERS)


def test_a_job_on_another_family_changes_nothing_for_the_next(
    client: Client, probe: Probe, unit: MakeUnit, sdxl_unit: MakeSdxlUnit
) -> None:
    """SD1.5 and SDXL by turns, each with its own adapter."""
    requests = {models.TINY: unit(), models.SDXL: sdxl_unit()}
    made: dict[str, list[Any]] = {checkpoint: [] for checkpoint in requests}
    for checkpoint in [*requests] * 2:
        with probe.recording() as seen:
            made[checkpoint].append(client.txt2img([requests[checkpoint]], **on(checkpoint)).picture)
        seen.check_roles(layers=16 if checkpoint == models.TINY else LAYERS)
        assert probe.hooks() == []
    for one, other in made.values():
        assert np.array_equal(one, other)


def test_a_switch_to_another_family_lets_the_old_unet_go(
    client: Client, probe: Probe, unit: MakeUnit, sdxl_unit: MakeSdxlUnit
) -> None:
    client.txt2img([sdxl_unit()], **on())
    probe.remember_unet()
    client.txt2img([unit()], **on(models.TINY))
    assert probe.old_unet_alive() is False


def test_with_medvram_it_is_the_same_picture(
    installed: Installed, make_setup: Callable[..., Setup], client: Client, sdxl_unit: MakeSdxlUnit
) -> None:
    """The WebUI then sends each model to its device as it is called. Here both devices are the CPU."""
    expected = client.txt2img([sdxl_unit()], **on()).picture
    extensions = {"sd-webui-ip-adapter": ROOT, "zz-probe": PROBE}
    options = {"sd_model_checkpoint": models.SDXL}
    with running(installed, make_setup("medvram", extensions, arguments=["--medvram"], options=options)) as webui:
        medvram = Client(webui.url)
        assert np.array_equal(medvram.txt2img([sdxl_unit()]).picture, expected)
        assert Probe(medvram).hooks() == []
