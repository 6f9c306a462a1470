"""What the encoder is given for a picture, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.model.picture import encoder_view
from lib_ipadapter.model.views import MOST_TILES, Crop, Look, sharpened, views
from tests.model.test_picture import noise, processor

RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 128, 0)


def striped(*colours: tuple[int, int, int], side: int = 56, tall: bool = False) -> Image.Image:
    """Squares of one colour each, from left to right, or from top to bottom."""
    size = (side, side * len(colours)) if tall else (side * len(colours), side)
    image = Image.new("RGB", size)
    for number, colour in enumerate(colours):
        corner = (0, number * side) if tall else (number * side, 0)
        image.paste(colour, (*corner, corner[0] + side, corner[1] + side))
    return image


def mask_of(size: tuple[int, int], box: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", size)
    mask.paste(255, box)
    return mask


def view(image: Image.Image, crop: Crop, size: int = 56, **look: object) -> Image.Image:
    (only,) = views(image, Look(crop, **look), size)
    return only


@settings(max_examples=40)
@given(width=st.integers(4, 400), height=st.integers(4, 400), size=st.sampled_from([28, 56]))
def test_unless_told_otherwise_it_is_what_clip_image_processor_sees(width: int, height: int, size: int) -> None:
    image = noise(width, height)
    options = {"do_rescale": False, "do_normalize": False, "return_tensors": "np"}
    theirs = np.asarray(processor(size)(image, **options)["pixel_values"])[0].transpose(1, 2, 0)
    (ours,) = views(image, Look(), size)
    assert np.array_equal(np.asarray(ours), theirs)


@settings(max_examples=60)
@given(
    width=st.integers(1, 300),
    height=st.integers(1, 300),
    crop=st.sampled_from(Crop),
    sharpening=st.sampled_from([0.0, 0.7]),
    box=st.none() | st.tuples(*[st.floats(0, 1)] * 4),
)
def test_whatever_the_picture_squares_come_out_and_twice_the_same(
    width: int, height: int, crop: Crop, sharpening: float, box: tuple[float, ...] | None
) -> None:
    mask = None
    if box is not None:
        left, right = sorted((int(box[0] * width), int(box[1] * width)))
        upper, lower = sorted((int(box[2] * height), int(box[3] * height)))
        mask = mask_of((width, height), (left, upper, right + 1, lower + 1))
    look = Look(crop, RED, sharpening, mask)
    found = views(noise(width, height), look, 28)
    assert 1 <= len(found) <= MOST_TILES
    assert {(one.mode, one.size) for one in found} == {("RGB", (28, 28))}
    assert [one.tobytes() for one in found] == [one.tobytes() for one in views(noise(width, height), look, 28)]


@pytest.mark.parametrize("shape", [(1, 60000), (60000, 1), (1, 1), (5000, 20)])
@pytest.mark.parametrize("crop", Crop)
def test_the_longest_thread_is_seen(crop: Crop, shape: tuple[int, int]) -> None:
    seen = views(Image.new("RGB", shape, RED), Look(crop), 28)
    assert all(RED in {colour for _, colour in one.getcolors()} for one in seen)


def test_of_a_tall_picture_top_sees_the_upper_end_and_of_a_wide_one_the_middle() -> None:
    assert view(striped(RED, GREEN, BLUE, tall=True), Crop.TOP).getcolors() == [(56 * 56, RED)]
    wide = noise(90, 60)
    assert view(wide, Crop.TOP).tobytes() == encoder_view(wide, 56).tobytes()


def test_squashed_all_of_the_picture_is_seen() -> None:
    seen = view(striped(RED, BLUE), Crop.SQUASH)
    assert (seen.getpixel((5, 20)), seen.getpixel((50, 20))) == (RED, BLUE)
    assert seen.tobytes() == striped(RED, BLUE).resize((56, 56), Image.Resampling.BICUBIC).tobytes()


def test_padded_all_of_the_picture_is_seen_in_its_proportions_on_the_background() -> None:
    seen = np.asarray(view(striped(BLUE, BLUE), Crop.PAD, background=RED))
    assert (seen[14:42] == BLUE).all()
    assert (seen[:14] == RED).all()
    assert (seen[42:] == RED).all()


@pytest.mark.parametrize("tall", [False, True])
def test_tiles_of_whole_squares_are_these_squares_in_order(tall: bool) -> None:
    colours = (RED, GREEN, BLUE, (9, 9, 9))
    found = views(striped(*colours, tall=tall), Look(Crop.TILES), 56)
    assert [one.getcolors() for one in found] == [[(56 * 56, colour)] for colour in colours]


@settings(max_examples=40)
@given(long=st.integers(56, 56 * MOST_TILES), tall=st.booleans())
def test_tiles_cover_the_picture_with_no_more_squares_than_it_takes(long: int, tall: bool) -> None:
    ramp = np.zeros((56, long, 3), np.uint8)
    ramp[:, :, 0], ramp[:, :, 1] = np.arange(long) // 256, np.arange(long) % 256
    image = Image.fromarray(ramp.transpose(1, 0, 2) if tall else ramp)
    found = [np.asarray(one).astype(int) for one in views(image, Look(Crop.TILES), 56)]
    columns = [(one[:, 0] if tall else one[0]) @ [256, 1, 0] for one in found]
    assert sorted({int(column) for one in columns for column in one}) == list(range(long))
    assert len(found) == -(-long // 56)
    steps = np.diff([one[0] for one in columns])
    assert steps.size == 0 or steps.max() - steps.min() <= 1


def test_of_the_longest_pictures_tiles_show_the_middle() -> None:
    colours = [RED, *[GREEN] * MOST_TILES, BLUE]
    found = views(striped(*colours), Look(Crop.TILES), 56)
    assert [one.getcolors() for one in found] == [[(56 * 56, GREEN)]] * MOST_TILES


@pytest.mark.parametrize("crop", Crop)
def test_transparent_parts_have_the_background(crop: Crop) -> None:
    image = Image.new("RGBA", (60, 60), (*BLUE, 255))
    image.paste((0, 0, 0, 0), (0, 0, 30, 60))
    seen = view(image, crop, size=60, background=RED)
    assert (seen.getpixel((5, 30)), seen.getpixel((55, 30))) == (RED, BLUE)


def test_half_transparent_parts_are_mixed_with_the_background() -> None:
    assert view(Image.new("RGBA", (8, 8), (*BLUE, 51)), Crop.CENTER, background=RED).getpixel((0, 0)) == (204, 0, 51)


@pytest.mark.parametrize("crop", [Crop.CENTER, Crop.SQUASH, Crop.PAD])
def test_a_masked_picture_is_seen_like_one_that_was_cut_out(crop: Crop) -> None:
    image, mask = noise(60, 60), mask_of((60, 60), (10, 10, 50, 50))
    cut_out = image.convert("RGBA")
    cut_out.putalpha(mask)
    one, other = (view(picture, crop, background=RED, mask=m) for picture, m in ((image, mask), (cut_out, None)))
    assert one.tobytes() == other.tobytes()
    assert one.getpixel((2, 2)) == RED


@pytest.mark.parametrize("crop", [Crop.CENTER, Crop.TOP, Crop.TILES])
@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("tall", [False, True])
def test_a_crop_goes_where_the_mask_shows_something(crop: Crop, place: int, tall: bool) -> None:
    image = striped(RED, GREEN, BLUE, tall=tall)
    corner = (0, 56 * place) if tall else (56 * place, 0)
    mask = mask_of(image.size, (*corner, corner[0] + 56, corner[1] + 56))
    assert view(image, crop, mask=mask).getcolors() == [(56 * 56, (RED, GREEN, BLUE)[place])]


def test_a_mask_of_another_size_is_stretched_over_the_picture() -> None:
    image = striped(RED, BLUE)
    seen = view(image, Crop.SQUASH, background=GREEN, mask=mask_of((20, 10), (0, 0, 10, 10)))
    assert (seen.getpixel((5, 20)), seen.getpixel((50, 20))) == (RED, GREEN)


def test_a_mask_that_shows_nothing_is_a_sentence() -> None:
    with pytest.raises(UnitError, match="hides all of it; make white"):
        views(noise(9, 9), Look(mask=Image.new("L", (9, 9))))


def test_sharpening_leaves_what_is_flat_and_raises_contrast_the_more_the_stronger_it_is() -> None:
    flat = Image.new("RGB", (8, 8), (90, 120, 150))
    assert sharpened(flat, 1.0).tobytes() == flat.tobytes()
    values = np.full((8, 8, 3), 100, np.uint8)
    values[:, 4:] = 140
    edges = [np.asarray(sharpened(Image.fromarray(values), amount))[4, 3:5, 0].astype(int) for amount in (0, 0.5, 1)]
    steps = [int(right - left) for left, right in edges]
    assert steps == sorted(set(steps))
    assert steps[0] == 40


def test_sharpening_leaves_black_beside_white_as_it_is_so_nothing_overshoots() -> None:
    values = np.zeros((8, 8, 3), np.uint8)
    values[:, 4:] = 255
    assert np.array_equal(np.asarray(sharpened(Image.fromarray(values), 1.0)), values)


def test_sharpening_acts_on_the_small_view_and_not_on_the_picture() -> None:
    image = noise(300, 300)
    assert view(image, Crop.CENTER, sharpening=0.6).tobytes() == sharpened(encoder_view(image, 56), 0.6).tobytes()


@pytest.mark.parametrize("crop", Crop)
def test_picture_and_mask_are_left_as_they_were(crop: Crop) -> None:
    image, mask = noise(40, 30).convert("RGBA"), mask_of((40, 30), (0, 0, 20, 30))
    before = (image.mode, image.tobytes(), mask.mode, mask.tobytes())
    views(image, Look(crop, RED, 0.5, mask), 28)
    assert (image.mode, image.tobytes(), mask.mode, mask.tobytes()) == before
