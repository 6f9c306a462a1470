"""Which part of the whole picture each way of the WebUI samples, against the same steps done on a picture."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.hosts.a1111_canvas import canvas_of
from lib_ipadapter.maths.masks import WHOLE, Box, token_mask
from lib_ipadapter.model.picture import mask_values

NEAR = 0.03
"""Of a gradient's whole range: the WebUI counts whole pixels, and resizes with another filter."""


def gradients(size: tuple[int, int]) -> list[Image.Image]:
    """From left to right, and from top to bottom."""
    down = Image.linear_gradient("L")
    return [down.rotate(90).resize(size), down.resize(size)]


def txt2img(**values: Any) -> Any:
    return SimpleNamespace(**{"width": 512, "height": 768, "is_hr_pass": False} | values)


def img2img(size: tuple[int, int], **values: Any) -> Any:
    usual = {"width": 512, "height": 512, "init_images": [Image.new("RGB", size)], "image_mask": None}
    usual |= {"inpaint_full_res": True, "inpainting_mask_invert": 0, "paste_to": None, "resize_mode": 0}
    return SimpleNamespace(**usual | values)


def same(box: Box, size: tuple[int, int], shown: Any, canvas: tuple[int, int]) -> None:
    """Seen through `box`, gradients are as `shown` makes them, a function of a picture."""
    latent = (canvas[1] // 8, canvas[0] // 8)
    for gradient in gradients(size):
        ours = token_mask(mask_values(gradient), latent, latent[0] * latent[1], box).view(latent).numpy()
        theirs = np.asarray(shown(gradient).resize(latent[::-1], Image.Resampling.BOX), np.float32) / 255
        assert np.abs(ours - theirs).max() < NEAR


def stretch(image: Image.Image, width: int, height: int) -> Image.Image:
    return image.resize((width, height))


def cover(image: Image.Image, width: int, height: int) -> Image.Image:
    by = max(width / image.width, height / image.height)
    resized = image.resize((round(image.width * by), round(image.height * by)))
    left, top = (resized.width - width) // 2, (resized.height - height) // 2
    return resized.crop((left, top, left + width, top + height))


def contain(image: Image.Image, width: int, height: int) -> Image.Image:
    """With its edges repeated around it."""
    by = min(width / image.width, height / image.height)
    resized = np.asarray(image.resize((round(image.width * by), round(image.height * by))))
    y, x = height - resized.shape[0], width - resized.shape[1]
    return Image.fromarray(np.pad(resized, ((y // 2, y - y // 2), (x // 2, x - x // 2)), mode="edge"))


def test_txt2img_makes_the_whole_picture() -> None:
    canvas = canvas_of(txt2img())
    assert (canvas.box, canvas.latent_size, canvas.inpaint_mask) == (WHOLE, (96, 64), None)


def test_a_second_pass_of_the_same_shape_shows_the_whole() -> None:
    hires = {"is_hr_pass": True, "hr_upscale_to_x": 768, "hr_upscale_to_y": 1152, "truncate_x": 0, "truncate_y": 0}
    canvas = canvas_of(txt2img(**hires))
    assert (canvas.box, canvas.latent_size) == (WHOLE, (144, 96))


@pytest.mark.parametrize(("x", "y"), [(16, 0), (0, 33), (7, 0)])
def test_a_second_pass_of_another_shape_shows_what_is_not_cut_off(x: int, y: int) -> None:
    hires = {"is_hr_pass": True, "hr_upscale_to_x": 768, "hr_upscale_to_y": 1152, "truncate_x": x, "truncate_y": y}
    canvas = canvas_of(txt2img(**hires))
    assert canvas.latent_size == (144 - y, 96 - x)

    def cut(image: Image.Image) -> Image.Image:
        return image.crop((8 * (x // 2), 8 * (y // 2), 768 - 8 * ((x + 1) // 2), 1152 - 8 * ((y + 1) // 2)))

    same(canvas.box, (768, 1152), cut, (768 - 8 * x, 1152 - 8 * y))


@pytest.mark.parametrize("size", [(512, 512), (1000, 600), (300, 640)])
@pytest.mark.parametrize(("mode", "shown"), [(0, stretch), (1, cover), (2, contain), (3, stretch)])
def test_each_resize_mode_does_to_the_mask_what_it_does_to_the_picture(
    size: tuple[int, int], mode: int, shown: Any
) -> None:
    canvas = canvas_of(img2img(size, resize_mode=mode))
    same(canvas.box, size, lambda image: shown(image, 512, 512), (512, 512))


@pytest.mark.parametrize("paste_to", [(100, 60, 256, 256), (700, 350, 250, 250), (0, 0, 1000, 600), (50, 0, 900, 600)])
def test_only_masked_crops_the_mask_as_the_picture(paste_to: tuple[int, int, int, int]) -> None:
    """Even where the part takes the whole height, cannot grow to the canvas' shape, and is filled up."""
    x, y, width, height = paste_to
    processing = img2img((1000, 600), image_mask=Image.new("L", (1000, 600)), paste_to=paste_to, resize_mode=1)

    def shown(image: Image.Image) -> Image.Image:
        return contain(image.crop((x, y, x + width, y + height)), 512, 512)

    same(canvas_of(processing).box, (1000, 600), shown, (512, 512))


def test_a_whole_picture_inpaint_ignores_the_crop_of_an_earlier_job() -> None:
    mask = Image.new("L", (512, 512), 255)
    whole = img2img((512, 512), image_mask=mask, paste_to=(1, 2, 3, 4), inpaint_full_res=False)
    assert canvas_of(whole).box == WHOLE
    assert canvas_of(img2img((512, 512), paste_to=(1, 2, 3, 4))).box == WHOLE


@pytest.mark.parametrize("invert", [0, 1])
def test_the_inpaint_mask_is_white_where_the_webui_will_change_the_picture(invert: int) -> None:
    drawn = Image.new("RGBA", (512, 512), (255, 255, 255, 0))
    drawn.paste((0, 0, 0, 255), (0, 0, 256, 512))
    found = canvas_of(
        img2img((512, 512), image_mask=drawn, inpaint_full_res=False, inpainting_mask_invert=invert)
    ).inpaint_mask
    assert found is not None
    assert (found.getpixel((10, 10)), found.getpixel((500, 10))) == ((0, 255) if invert else (255, 0))


def test_a_detailer_in_a_crop_sees_the_part_of_the_mask_that_lies_over_its_own() -> None:
    """The outer job inpaints the lower right quarter only; in what it has made the detailer takes the left half."""
    outer = img2img((512, 512), image_mask=Image.new("L", (512, 512), 255), paste_to=(256, 256, 256, 256))
    inner = img2img((512, 512), image_mask=Image.new("L", (512, 512), 255), paste_to=(0, 0, 256, 512))
    found = canvas_of(inner, [outer])
    assert found.inpaint_box == Box(-0.25, 0.0, 0.75, 1.0), "its shape is filled up to that of the canvas"
    assert found.box == Box(0.375, 0.5, 0.875, 1.0)
    assert canvas_of(inner).box == found.inpaint_box


def test_a_detailer_after_a_hires_pass_that_cuts_sees_what_was_left() -> None:
    outer = txt2img(enable_hr=True, hr_upscale_to_x=1024, hr_upscale_to_y=1536, truncate_x=32, truncate_y=0)
    assert canvas_of(img2img((768, 1536)), [outer]).box == Box(0.125, 0.0, 0.875, 1.0)
    plain = txt2img(enable_hr=False)
    assert canvas_of(img2img((512, 768)), [plain]).box == WHOLE
