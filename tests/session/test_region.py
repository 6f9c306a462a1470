"""From a mask that a user gives to the region in which a unit acts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.masks import Box
from lib_ipadapter.model.picture import as_mask, encoder_view
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session import infotext
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.host import Canvas
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.region import region
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.where import Side
from tests.session.fake_host import FakeHost, picture, run, unit

LIBRARY = Library()
WHITE, BLACK = Image.new("L", (16, 16), 255), Image.new("L", (16, 16), 0)


def left(size: tuple[int, int] = (64, 64)) -> Image.Image:
    mask = Image.new("L", size, 0)
    mask.paste(255, (0, 0, size[0] // 2, size[1]))
    return mask


def generate(host: FakeHost, *units: Unit) -> Tensor:
    with Generation(host, units, LIBRARY):
        return host.run()


def values(canvas: Canvas = Canvas(), **given: Any) -> Tensor:  # noqa: B008 - frozen
    found = region(unit(**given), lambda: canvas)
    assert found is not None
    return found.mask


def test_without_a_mask_a_unit_acts_everywhere() -> None:
    assert region(unit(), Canvas) is None


def test_a_white_mask_changes_no_bit_and_a_black_one_is_no_unit(host: FakeHost) -> None:
    assert torch.equal(generate(host, unit(mask=WHITE)), generate(host, unit()))
    assert torch.equal(generate(host, unit(mask=BLACK)), run(host.loaded))
    assert torch.equal(generate(host, unit(mask=BLACK, region="outside the mask")), generate(host, unit()))


def test_masked_units_are_the_same_in_any_order(host: FakeHost) -> None:
    units = [unit(mask=left()), unit(mask=left(), region="outside the mask"), unit(mask=WHITE, mask_blur=2)]
    outputs = [generate(host, *order) for order in itertools.permutations(units)]
    assert all(torch.equal(out, outputs[0]) for out in outputs)


def test_the_sides_of_a_mask_are_each_others_complement() -> None:
    inside, outside = (values(mask=left(), region=side.value, mask_blur=4) for side in (Side.INSIDE, Side.OUTSIDE))
    assert torch.equal(inside + outside, torch.ones(64, 64))
    assert inside[0, 0] == outside[0, -1] == 1


def test_blur_softens_the_edge_and_leaves_the_rest_exact() -> None:
    hard, soft = values(mask=left()), values(mask=left(), mask_blur=3)
    assert set(hard.unique().tolist()) == {0.0, 1.0}
    assert ((soft > 0) & (soft < 1)).sum() > 64
    assert (soft[:, :20] == 1).all()
    assert (soft[:, 44:] == 0).all()


def test_the_inpaint_mask_is_the_hosts_whatever_the_units_own() -> None:
    canvas = Canvas(inpaint_mask=left())
    for own in ({}, {"mask": WHITE}):
        assert torch.equal(values(canvas, region="inside the inpaint mask", **own), values(mask=left()))
    assert values(canvas, region="outside the inpaint mask")[0].tolist() == [0.0] * 32 + [1.0] * 32


@pytest.mark.parametrize("side", [side for side in Side if side is not Side.INSIDE])
def test_a_side_of_no_mask_is_a_sentence_that_says_what_to_do(side: Side) -> None:
    with pytest.raises(UnitError, match=rf"acts {side.value}, and .*; .*, or choose 'inside the mask'"):
        region(unit(region=side.value), Canvas)


def test_the_region_follows_what_the_host_shows_of_the_picture(host: FakeHost) -> None:
    """Of a mask's white left half, only the white is shown; then only the black."""
    masked = unit(mask=left())
    host.shown = Canvas(Box(0.0, 0.25, 0.5, 0.75))
    assert torch.equal(generate(host, masked), generate(host, unit()))
    host.shown = Canvas(Box(0.5, 0.25, 1.0, 0.75))
    assert torch.equal(generate(host, masked), run(host.loaded))


def test_the_reference_is_seen_whole_whatever_the_canvas_shows(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, int]] = []
    encode = ImageEncoder.encode

    def watched(self: ImageEncoder, image: Image.Image, *more: Any) -> Any:
        seen.append((image.tobytes(), self.image_size))
        return encode(self, image, *more)

    monkeypatch.setattr(ImageEncoder, "encode", watched)
    for number, box in enumerate((Box(), Box(0.4, 0.4, 0.6, 0.6), Box(-0.2, 0.0, 1.2, 1.0))):
        host.shown = Canvas(box, inpaint_mask=left())
        with Generation(host, [unit(mask=left(), region=list(Side)[number].value)], Library()):
            host.run()
    assert [view for view, _ in seen] == [encoder_view(picture(), size).tobytes() for _, size in seen]
    assert len(seen) == 3


MASKS = {
    "grey": Image.linear_gradient("L"),
    "bilevel": Image.linear_gradient("L").convert("1", dither=Image.Dither.NONE),
    "colour": Image.merge("RGB", [Image.linear_gradient("L")] * 3),
    "opaque": Image.merge("RGBA", [Image.linear_gradient("L")] * 3 + [Image.new("L", (256, 256), 255)]),
    "strokes": Image.merge("RGBA", [Image.new("L", (256, 256), 0)] * 3 + [Image.linear_gradient("L")]),
    "grey with alpha": Image.merge("LA", [Image.new("L", (256, 256), 9), Image.linear_gradient("L")]),
}


@pytest.mark.parametrize("name", MASKS)
def test_brightness_counts_or_opacity_where_anything_is_transparent(name: str) -> None:
    found, gradient = as_mask(MASKS[name]), Image.linear_gradient("L")
    wanted = gradient.point([255 * (value > 127) for value in range(256)]) if name == "bilevel" else gradient
    assert (found.mode, found.tobytes()) == ("L", wanted.tobytes())


def test_the_infotext_has_a_masks_hash_and_restores_the_rest() -> None:
    asked = unit(mask=left(), region="outside the mask", mask_blur=6)
    (text,) = infotext.write([asked], lambda name: name).values()
    assert text.endswith(f"mask: {asked.hashes['mask'][0][:12]}, region: outside the mask, mask_blur: 6.0")
    found = infotext.read({"IP-Adapter 1": text}, 1)
    assert (found["region"], found["mask_blur"], found["mask"]) == (
        "outside the mask",
        6.0,
        asked.hashes["mask"][0][:12],
    )


def test_a_foreign_region_is_ignored_and_a_foreign_blur_clamped() -> None:
    found = infotext.read({"IP-Adapter 1": "region: everywhere, mask_blur: 9000"}, 1)
    assert "region" not in found
    assert found["mask_blur"] == 128
