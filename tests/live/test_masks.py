"""A mask lies where it should in whatever the WebUI makes of the picture: crops, second passes, batches."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from lib_ipadapter.maths.masks import Size, levels, token_mask
from lib_ipadapter.model.picture import mask_values
from tests.live import controlnet, models, pictures
from tests.live.client import HIRES, Answer, Client, Json, Refused, difference, encode
from tests.live.pictures import MakeUnit
from tests.live.probe_client import BOXES, CROPS, Probe, jobs

RUN_ORDER = (0, 0, 1, 1, 2, 2, 3, 2, 2, 2, 1, 1, 1, 0, 0, 0)
"""The level of each of SD1.5's layers, in the order in which they run."""

WHITE, BLACK = Image.new("L", (64, 64), 255), Image.new("L", (64, 64), 0)
SOURCE = pictures.reference(256, 256)
INSIDE = (64, 96, 128, 160)
"""What is inpainted: a square, as the canvas is, so that "only masked" crops to just this."""

ONLY_MASKED: Json = {
    "inpaint_full_res": True,
    "inpaint_full_res_padding": 0,
    "mask_blur": 0,
    "inpainting_fill": 1,
    "denoising_strength": 0.8,
}


def box(where: tuple[int, int, int, int], size: Size = (256, 256)) -> Image.Image:
    mask = Image.new("L", size, 0)
    mask.paste(255, where)
    return mask


LEFT = box((0, 0, 128, 256))
CROP = box(INSIDE)


def silent(mask: Image.Image, latent: Size) -> list[float]:
    """The share of places outside of a mask, layer by layer as they run."""
    sizes = [height * width for height, width in levels(latent)]
    return [float((token_mask(mask_values(mask), latent, sizes[n]) == 0).float().mean()) for n in RUN_ORDER]


def inpaint(client: Client, units: list[Json], **changes: Any) -> Answer:
    client.settle()
    return client.img2img(SOURCE, units, **{**ONLY_MASKED, "mask": encode(CROP), **changes})


def test_only_masked_crops_the_mask_to_what_is_inpainted_and_never_the_reference(
    client: Client, unit: MakeUnit
) -> None:
    """Its white is just the crop, or all but the crop: one pixel off, and neither would be equal."""
    plain, whole = inpaint(client, []).picture, inpaint(client, [unit()]).picture
    assert difference(plain, whole) > 5
    assert np.array_equal(inpaint(client, [unit(mask=encode(CROP))]).picture, whole)
    assert np.array_equal(inpaint(client, [unit(mask=encode(ImageOps.invert(CROP)))]).picture, plain)


def test_only_masked_with_a_crop_across_the_masks_edge(client: Client, probe: Probe, unit: MakeUnit) -> None:
    half = box((0, 0, 96, 256))
    with probe.recording() as seen:
        inpaint(client, [unit(mask=encode(half))])
    assert {tuple(call.silent) for call in seen.calls if call.silent} == {tuple(silent(half.crop(INSIDE), (8, 8)))}


def test_the_inpaint_mask_itself_is_a_region(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        inpaint(client, [unit(region="outside the inpaint mask")], inpaint_full_res=False, mask=encode(LEFT))
    right = ImageOps.invert(LEFT)
    assert {tuple(call.silent) for call in seen.calls if call.silent} == {tuple(silent(right, (8, 8)))}
    with pytest.raises(Refused, match="nothing is inpainted here; inpaint something"):
        client.txt2img([unit(region="inside the inpaint mask")])


def test_a_second_pass_has_the_mask_at_its_own_size(client: Client, probe: Probe, unit: MakeUnit) -> None:
    plain, whole = client.txt2img(**HIRES).picture, client.txt2img([unit()], **HIRES).picture
    assert np.array_equal(client.txt2img([unit(mask=encode(WHITE))], **HIRES).picture, whole)
    assert np.array_equal(client.txt2img([unit(mask=encode(BLACK))], **HIRES).picture, plain)
    with probe.recording() as seen:
        client.txt2img([unit(mask=encode(LEFT))], **HIRES)
    found = [call.silent for call in seen.calls]
    assert found == [silent(LEFT, (8, 8))] * 3 + [silent(LEFT, (12, 12))] * (len(found) - 3)
    assert len(found) > 3


@pytest.mark.parametrize(("width", "height"), [(600, 800), (328, 200)])
def test_sizes_that_do_not_halve_are_no_matter(
    width: int, height: int, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    with probe.recording() as seen:
        client.txt2img([unit(mask=encode(LEFT))], width=width, height=height, steps=1)
    assert [call.silent for call in seen.calls] == [silent(LEFT, (height // 8, width // 8))]


def test_in_a_detailers_pass_the_mask_is_cropped_to_the_face(client: Client, probe: Probe, unit: MakeUnit) -> None:
    half = box((0, 0, 32, 64), (64, 64))
    with probe.recording() as seen:
        client.txt2img([unit(mask=encode(half))], **jobs(boxes=BOXES, stems=["ip_adapter"]))
    places = [(0, 0, 64, 64), *CROPS]
    assert [call.silent for call in seen.calls] == [silent(half.crop(at), (8, 8)) for at in places for _ in range(3)]


def test_each_picture_of_several_batches_has_the_mask(client: Client, unit: MakeUnit) -> None:
    masked = unit(mask=encode(LEFT), mask_blur=20)
    batches = client.txt2img([masked], n_iter=3).pictures[-3:]
    alone = [client.txt2img([masked], seed=seed).picture for seed in (1, 2, 3)]
    assert all(np.array_equal(one, other) for one, other in zip(batches, alone, strict=True))
    assert difference(batches[2], client.txt2img([unit()], seed=3).picture) > 5


def test_the_infotext_names_the_mask(client: Client, unit: MakeUnit) -> None:
    text = client.txt2img([unit(mask=encode(LEFT), region="outside the mask", mask_blur=4)]).infotext
    assert re.search(r"mask: \w{12}, region: outside the mask, mask_blur: 4.0", text)


def test_beside_controlnet_the_mask_is_as_its_effective_region_mask(
    beside_controlnet: Client, unit: MakeUnit, reference: Image.Image
) -> None:
    """Of an even size, at which both know where the mask is."""
    client = beside_controlnet
    theirs = controlnet.ip_adapter(client, reference, models.BASE, 0.8)
    theirs |= {"effective_region_mask": encode(LEFT.convert("RGB"))}  # at greyscale it fails
    ours = client.txt2img([unit(scale=0.8, mask=encode(LEFT))]).picture
    assert difference(ours, client.txt2img([unit(scale=0.8)]).picture) > 5
    assert difference(ours, client.txt2img(**controlnet.script(theirs)).picture) <= 1


def test_beside_a_controlnet_unit_only_ours_is_masked(
    beside_controlnet: Client, unit: MakeUnit, reference: Image.Image
) -> None:
    client = beside_controlnet
    theirs = controlnet.script(controlnet.t2i_adapter(client, reference))
    alone, both = client.txt2img(**theirs).picture, client.txt2img([unit()], **theirs).picture
    assert difference(alone, both) > 5
    assert np.array_equal(client.txt2img([unit(mask=encode(BLACK))], **theirs).picture, alone)
    assert np.array_equal(client.txt2img([unit(mask=encode(WHITE))], **theirs).picture, both)
