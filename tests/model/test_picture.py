"""Pictures of every sort become what CLIPImageProcessor would make of them."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_ipadapter.model.picture import as_mask, as_rgb, content_hash, decoded, encoder_view, pixel_values

try:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil as CLIPImageProcessor
except ImportError:  # transformers 4 has one of that name, and it uses PIL
    from transformers import CLIPImageProcessor

RED, CLEAR = (200, 30, 10), (0, 0, 0, 0)


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def reopened(image: Image.Image, form: str, **options: object) -> Image.Image:
    file = io.BytesIO()
    image.save(file, form, **options)
    return Image.open(io.BytesIO(file.getvalue()))


def processor(size: int) -> CLIPImageProcessor:
    return CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


@settings(max_examples=40)
@given(width=st.integers(4, 400), height=st.integers(4, 400), size=st.sampled_from([28, 56]))
def test_pixels_equal_those_of_clip_image_processor(width: int, height: int, size: int) -> None:
    # From 4 pixels on: transformers 4.30 takes a side of 1 or 3 for the colours.
    image = noise(width, height)
    theirs = torch.as_tensor(processor(size)(image, return_tensors="pt")["pixel_values"])
    torch.testing.assert_close(pixel_values(encoder_view(image, size)), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(224, 224), (512, 768), (1023, 577), (5000, 20), (1, 40), (100, 101)])
def test_pixels_equal_at_the_published_size(shape: tuple[int, int]) -> None:
    image = noise(*shape)
    theirs = torch.as_tensor(processor(224)(image, return_tensors="pt")["pixel_values"])
    torch.testing.assert_close(pixel_values(encoder_view(image)), theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (1, 60000), (60000, 1), (5000, 20), (3, 2000)])
def test_any_shape_gives_a_square(shape: tuple[int, int]) -> None:
    assert encoder_view(Image.new("RGB", shape, RED)).getcolors() == [(224 * 224, RED)]


def test_the_middle_of_a_thread_is_seen() -> None:
    image = Image.new("L", (1, 30001))
    image.paste(255, (0, 14000, 1, 16000))
    assert encoder_view(image, 28).getcolors() == [(28 * 28, (255, 255, 255))]


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "F"]
)
def test_every_mode_becomes_rgb_of_the_same_size(mode: str) -> None:
    image = as_rgb(Image.new(mode, (7, 5)))
    assert (image.mode, image.size) == ("RGB", (7, 5))


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK", "RGBA", "YCbCr", "HSV"])
def test_colours_survive_their_mode(mode: str) -> None:
    image = Image.new("RGB", (3, 3), RED).convert(mode, palette=Image.Palette.ADAPTIVE)
    pixel = as_rgb(image).getpixel((1, 1))
    assert all(abs(a - b) <= 3 for a, b in zip(pixel, RED, strict=True))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "PA"])
def test_transparent_parts_are_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), CLEAR)
    image = image.convert("LA").convert("La") if mode == "La" else image.convert(mode)
    if mode == "PA":
        image.putalpha(0)  # which Pillow 9 forgets in converting
    assert as_rgb(image).getcolors() == [(16, (255, 255, 255))]


def test_half_transparent_black_is_grey() -> None:
    assert as_rgb(Image.new("RGBA", (1, 1), (0, 0, 0, 128))).getpixel((0, 0)) == (127, 127, 127)


@pytest.mark.parametrize("mode", ["P", "L", "RGB"])
def test_a_transparent_colour_in_a_file_is_white(mode: str) -> None:
    image = Image.new(mode, (2, 1), 0)
    image.putpixel((1, 0), (1, 1, 1) if mode == "RGB" else 1)
    if mode == "P":
        image.putpalette([0, 0, 0, 9, 9, 9])
    file = reopened(image, "PNG", transparency=(0, 0, 0) if mode == "RGB" else 0)
    assert as_rgb(file).getpixel((0, 0)) == (255, 255, 255)
    assert max(as_rgb(file).getpixel((1, 0))) < 10


@pytest.mark.parametrize("value", [0, 100, 255, 256, 30000, 65535])
def test_sixteen_bits_are_scaled_to_eight_however_dark_the_picture(value: int) -> None:
    image = reopened(Image.fromarray(np.full((2, 2), value, np.uint16)), "PNG")
    assert as_rgb(image).getpixel((0, 0)) == (round(value / 257),) * 3


def test_values_that_are_no_numbers_are_black() -> None:
    image = Image.fromarray(np.array([[np.nan, np.inf, -np.inf, 255]], np.float32))
    assert as_rgb(image).getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize(("values", "grey"), [([0, 0.5, 1], [0, 128, 255]), ([0, 0.2], [0, 51]), ([0, 1.5], [0, 2])])
def test_of_fractions_one_is_white(values: list[float], grey: list[int]) -> None:
    image = as_rgb(Image.fromarray(np.array([values], np.float32)))
    assert list(image.getchannel("R").tobytes()) == grey


def test_a_whole_number_of_one_is_all_but_black() -> None:
    assert as_rgb(Image.fromarray(np.array([[0, 1]], np.int32))).getpixel((1, 0)) == (1, 1, 1)


def test_a_photo_stands_upright_as_its_exif_says() -> None:
    image = Image.new("RGB", (4, 2), RED)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert as_rgb(reopened(image, "JPEG", exif=exif)).size == (2, 4)


@pytest.mark.parametrize("exif", [b"Exif\0\0" + bytes(20), b"Exif\0\0no such thing", b"nothing"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photo_whose_exif_is_damaged_is_as_it_lies(kind: str, exif: bytes) -> None:
    stored, plain = Image.new("RGB", (6, 4), "red"), io.BytesIO()
    stored.save(plain, kind, exif=exif)
    opened = Image.open(plain)
    assert as_rgb(opened).size == (6, 4)
    assert as_rgb(decoded(opened)).size == (6, 4)
    assert as_mask(opened).size == (6, 4)


def test_of_an_animation_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in (RED, (0, 0, 255))]
    animation = reopened(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert as_rgb(animation).getpixel((1, 1)) == pytest.approx(RED, abs=3)


def test_equal_pictures_have_equal_hashes_whatever_file_they_came_in() -> None:
    image = noise(9, 6)
    assert content_hash(image) == content_hash(reopened(image, "PNG")) == content_hash(image.convert("RGBA"))


def test_other_pixels_or_another_shape_change_the_hash() -> None:
    black = [Image.new("RGB", shape) for shape in ((6, 4), (4, 6), (3, 8))]
    assert len({content_hash(image) for image in (*black, noise(6, 4))}) == 4


def test_pictures_are_left_as_they_were() -> None:
    image = noise(40, 30).convert("RGBA")
    before = image.tobytes()
    encoder_view(image, 28)
    assert (image.mode, image.size, image.tobytes()) == ("RGBA", (40, 30), before)
