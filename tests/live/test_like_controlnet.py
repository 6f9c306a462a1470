"""The same picture as ControlNet's own IP-Adapter unit makes of the same files: one step of brightness at most.

The reference is 224 x 224, because ControlNet scales any other in its own way before the encoder sees it.
Prompts are of equal length: with unequal ones ControlNet hands the prompt's keys to the negative prompt as well.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image

from tests.live import controlnet, models
from tests.live.client import HIRES, Client, Json, difference
from tests.live.pictures import MakeUnit

CASES: dict[str, Json] = {
    "plain": {},
    "128 x 192": {"width": 128, "height": 192},
    "batch of 2": {"batch_size": 2},
    "AND": {"prompt": "a cat AND a house"},
    "AND with weights": {"prompt": "a cat AND a house :0.5"},
    "hires fix": HIRES,
    "empty prompts": {"prompt": "", "negative_prompt": ""},
    "DPM++ 2M": {"sampler_name": "DPM++ 2M", "steps": 6},
}


def differences(
    client: Client, unit: MakeUnit, picture: Image.Image, *, adapter: str, scale: float, request: Json
) -> tuple[int, int]:
    """Between ours and ControlNet's, and between ours and the plain picture; the largest of the batch."""
    count = request.get("batch_size", 1)
    plain = client.txt2img(**request).pictures
    ours = client.txt2img([unit(model=adapter, scale=scale)], **request).pictures
    script = controlnet.script(controlnet.ip_adapter(client, picture, adapter, scale))
    theirs = client.txt2img(**request, **script).pictures
    # A batch is preceded by its grid, and followed by ControlNet's view of the reference.
    first = len(ours) - count
    pairs = range(first, first + count)
    return (
        max(difference(ours[i], theirs[i]) for i in pairs),
        min(difference(ours[i], plain[i]) for i in pairs),
    )


@pytest.mark.parametrize("case", CASES)
def test_a_base_adapter_makes_controlnets_picture(
    case: str, *, beside_controlnet: Client, unit: MakeUnit, reference: Image.Image, measured: Callable[..., None]
) -> None:
    apart, moved = differences(beside_controlnet, unit, reference, adapter=models.BASE, scale=0.8, request=CASES[case])
    measured(f"base, {case}: largest difference to ControlNet (to the plain picture)", f"{apart} ({moved})")
    assert moved > 20
    assert apart <= 1


@pytest.mark.parametrize("adapter", [models.PLUS, models.FULL])
@pytest.mark.parametrize("case", ["plain", "batch of 2", "AND", "hires fix", "DPM++ 2M"])
def test_plus_and_full_adapters_make_controlnets_picture_of_conditional_rows(
    case: str,
    adapter: str,
    *,
    beside_controlnet: Client,
    unit: MakeUnit,
    reference: Image.Image,
    measured: Callable[..., None],
) -> None:
    """Unconditional rows are skipped: ControlNet gives them a constant, stored for the published encoder's weights.

    The suite's encoder has other weights, so "no picture" is something else there.
    Guidance then amplifies nothing, so the scale is high for the effect to be seen.
    """
    with beside_controlnet.settings(skip_early_cond=1.0):
        apart, moved = differences(beside_controlnet, unit, reference, adapter=adapter, scale=2.0, request=CASES[case])
    measured(f"{adapter}, {case}: largest difference to ControlNet (to the plain picture)", f"{apart} ({moved})")
    assert moved > 10
    assert apart <= 1
