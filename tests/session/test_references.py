"""Several pictures, a negative picture and noise in one unit: what each row of the UNet gets, from the floors below."""

from __future__ import annotations

import itertools

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_ipadapter.errors import UnitError
from lib_ipadapter.maths.combine import APART, Combination, combined
from lib_ipadapter.maths.embeds import ImagePromptEmbeds
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.noise import NoiseKind, spoilt
from lib_ipadapter.model.picture import encoder_view
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.patch.moment import Role
from lib_ipadapter.session import room, sight
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.library import Library
from lib_ipadapter.session.unit import Unit
from tests.models import TEXT_WIDTH, WIDTHS
from tests.session.fake_host import FakeHost, picture, unit

PICTURES = [picture(seed) for seed in range(3)]


class Hand:
    """The same by hand."""

    def __init__(self, host: FakeHost, model: str) -> None:
        self.adapter = IPAdapter.read(host.folder / "adapters" / f"{model}.safetensors")
        self.encoder = ImageEncoder.read(host.folder / "encoders" / "tiny")
        self.place = (host.device, host.dtype)

    def seen(self, image: Image.Image | None) -> Tensor:
        feature = self.adapter.variant.feature
        assert feature is not None
        if image is not None:
            return self.encoder.encode(image, *self.place).get(feature)
        zeros = self.encoder.encode_zeros(*self.place).get(feature)
        return torch.zeros_like(zeros) if feature is Feature.IMAGE_EMBEDS else zeros

    def layers(self, cond: Tensor, uncond: Tensor) -> Tensor:
        return self.adapter.key_values(ImagePromptEmbeds(cond, uncond).stacked())[3].value


def value(host: FakeHost, own: Unit) -> Tensor:
    """Of one layer, ``[rows, tokens, width]``."""
    return Library().key_values(own, host.folder / "adapters" / f"{own.model}.safetensors", host).layers[3].value


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", ["base", "plus"])
@pytest.mark.parametrize("way", [way for way in Combination if way not in APART])
def test_features_are_combined_before_the_projection(way: Combination, model: str, host: FakeHost) -> None:
    hand = Hand(host, model)
    own = unit(model, image=PICTURES[0], images=PICTURES[1:], combine=way.value, weights="1 0.5 2")
    one = combined(torch.cat([hand.seen(image) for image in PICTURES]), way, [1, 0.5, 2])
    close(value(host, own), hand.layers(hand.adapter.project(one), hand.adapter.project(hand.seen(None))))


def test_concatenated_pictures_have_their_tokens_side_by_side_each_times_its_weight(host: FakeHost) -> None:
    hand = Hand(host, "base")
    tokens = [hand.adapter.project(hand.seen(image)) for image in PICTURES]
    nothing = torch.cat([hand.adapter.project(hand.seen(None))] * 3, dim=1)
    own = unit("base", image=PICTURES[0], images=PICTURES[1:], weights="1 0.25")
    close(value(host, own), hand.layers(torch.cat([tokens[0], tokens[1] * 0.25, tokens[2]], dim=1), nothing))


def test_the_first_picture_may_stand_anywhere(host: FakeHost) -> None:
    first = unit("base", image=PICTURES[0], images=PICTURES[1:])
    assert torch.equal(value(host, first), value(host, unit("base", image=None, images=PICTURES)))


def test_several_views_of_a_picture_give_the_tokens_of_each(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    def tiles(own: Unit, image: Image.Image, size: int) -> list[Image.Image]:
        return [encoder_view(image, size), encoder_view(image.rotate(180), size)]

    hand = Hand(host, "plus")
    tokens = [hand.adapter.project(hand.seen(image)) for image in (PICTURES[0], PICTURES[0].rotate(180))]
    nothing = torch.cat([hand.adapter.project(hand.seen(None))] * 2, dim=1)
    monkeypatch.setattr(sight, "views", tiles)
    close(value(host, unit("plus", image=PICTURES[0])), hand.layers(torch.cat(tokens, dim=1), nothing))


def of_tiles(*counts: int) -> list[Image.Image]:
    return [Image.new("RGB", (56 * count, 56), (number, 90, 90)) for number, count in enumerate(counts)]


@pytest.mark.parametrize(
    ("way", "said"),
    [("batch", "5 rows of 14280 image tokens take .* GB; use fewer"),
     ("average", "4 pictures as one need 840 tiles of each, .* 512 in all; use fewer")],
)  # fmt: skip
def test_tiles_whose_numbers_have_no_small_multiple_are_refused_before_they_fill_the_memory(
    way: str, said: str, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "MOST_BYTES", room.MOST_BYTES * sum(WIDTHS) // 12480)  # as if it were as wide as SD1.5
    own = unit("full", image=None, images=of_tiles(5, 7, 8, 3), combine=way, crop="tiles")
    with pytest.raises(UnitError, match=said):
        Library().image_prompt(own, host.folder / "adapters" / "full.safetensors", host)


def test_weights_that_leave_no_average_are_a_sentence(host: FakeHost) -> None:
    own = unit("base", images=PICTURES[1:], combine="average", weights="0 0 0")
    with pytest.raises(UnitError, match="weights are all 0"):
        value(host, own)


def run(host: FakeHost, roles: list[Role], items: list[int]) -> Tensor:
    """One UNet call in which all rows have the same noise and text, so that they differ by the picture alone."""
    for begin_step in host.listeners:
        begin_step(0.0, roles, items)
    draw, rows = torch.Generator().manual_seed(1), len(roles)
    noise = torch.randn(1, 4, 8, 8, generator=draw).expand(rows, -1, -1, -1)
    text = torch.randn(1, 7, TEXT_WIDTH, generator=draw).expand(rows, -1, -1)
    with torch.no_grad():
        return host.loaded(noise, torch.tensor(500), encoder_hidden_states=text).sample


def outputs(host: FakeHost, own: Unit, roles: list[Role], items: list[int]) -> Tensor:
    with Generation(host, [own], Library()):
        return run(host, roles, items)


C, U = Role.CONDITIONAL, Role.UNCONDITIONAL


def test_each_item_of_the_batch_is_as_if_it_were_alone_with_its_picture(host: FakeHost) -> None:
    own = unit("plus", image=PICTURES[0], images=PICTURES[1:], combine="batch")
    rows = outputs(host, own, [C, C, C, C, U, U], [0, 1, 2, 4, 0, 1])
    alone = [outputs(host, unit("plus", image=image), [C, U], [0, 0]) for image in PICTURES]
    for row, number in zip(rows, [0, 1, 2, 1], strict=False):
        close(row, alone[number][0])
    for row in rows[4:]:
        close(row, alone[0][1])
    assert (alone[0][0] - alone[1][0]).abs().max() > 1e-3


def test_one_composition_serves_every_item_of_the_batch(host: FakeHost) -> None:
    both = {"weight_type": "strong style and composition", "composition_image": picture(7)}
    rows = outputs(
        host, unit("plus", image=PICTURES[0], images=PICTURES[1:], combine="batch", **both), [C, C, C, U], [0, 1, 2, 0]
    )
    for row, image in zip(rows, PICTURES, strict=False):
        close(row, outputs(host, unit("plus", image=image, **both), [C, U], [0, 0])[0])


@pytest.mark.parametrize("kind", ["style transfer precise", "composition precise"])
def test_a_precise_type_refuses_a_picture_for_each_item(kind: str, host: FakeHost) -> None:
    with pytest.raises(UnitError, match="another weight type"):
        outputs(host, unit("base", images=PICTURES, combine="batch", weight_type=kind), [C, U], [0, 0])


def test_the_mask_is_for_the_first_picture_wherever_it_stands(host: FakeHost) -> None:
    half = Image.new("L", (4, 4))
    half.paste(255, (0, 0, 2, 4))
    places = ({"image": None, "images": PICTURES[:1]}, {"image": PICTURES[0]})
    given = [unit("base", image_mask=half, **place) for place in places]
    close(*(value(host, own) for own in given))
    assert not torch.allclose(value(host, given[0]), value(host, unit("base", image=PICTURES[0])))


def test_another_way_gives_each_item_the_same(host: FakeHost) -> None:
    own = unit("base", image=PICTURES[0], images=PICTURES[1:], combine="average")
    one, two, _, _ = outputs(host, own, [C, C, U, U], [0, 1, 0, 1])
    close(one, two)


@pytest.mark.parametrize("model", ["base", "plus"])
@pytest.mark.parametrize("way", [way for way in Combination if way not in (Combination.SUBTRACT, Combination.BATCH)])
def test_the_pictures_of_a_unit_commute_each_with_its_weight(way: Combination, model: str, host: FakeHost) -> None:
    found = []
    for order in itertools.permutations(zip(PICTURES, (1.0, 0.5, 2.0), strict=True)):
        images, weights = zip(*order, strict=True)
        own = unit(model, image=images[0], images=images[1:], combine=way.value, weights=" ".join(map(str, weights)))
        with Generation(host, [own], Library()):
            found.append(run(host, [C, U], [0, 0]))
    for output in found[1:]:
        close(output, found[0])
    assert not torch.allclose(found[0], run(host, [C, U], [0, 0]), atol=1e-3)


def test_units_commute_whatever_their_pictures(host: FakeHost) -> None:
    units = [
        unit("base", images=PICTURES[1:], combine="batch"),
        unit("base", images=PICTURES[1:], combine="batch", weights="2"),
        unit("base", images=PICTURES[:1], negative_image=PICTURES[2]),
    ]
    found = []
    for order in itertools.permutations(units):
        with Generation(host, order, Library()):
            found.append(run(host, [C, C, U, U], [0, 1, 0, 1]))
    assert all(torch.equal(output, found[0]) for output in found)


@pytest.mark.parametrize("model", ["base", "plus"])
def test_a_negative_picture_takes_the_place_of_nothing(model: str, host: FakeHost) -> None:
    hand = Hand(host, model)
    tokens = [hand.adapter.project(hand.seen(image)) for image in PICTURES[:2]]
    close(value(host, unit(model, image=PICTURES[0], negative_image=PICTURES[1])), hand.layers(*tokens))


@pytest.mark.parametrize("kind", NoiseKind)
def test_noise_spoils_the_negative_picture_or_else_the_reference(kind: NoiseKind, host: FakeHost) -> None:
    hand = Hand(host, "base")
    for given, source in (({}, PICTURES[0]), ({"negative_image": PICTURES[1]}, PICTURES[1])):
        noisy = spoilt(encoder_view(source, hand.encoder.image_size), kind, 0.5)
        wanted = hand.layers(*(hand.adapter.project(hand.seen(image)) for image in (PICTURES[0], noisy)))
        close(value(host, unit("base", image=PICTURES[0], noise=0.5, noise_kind=kind.value, **given)), wanted)


def test_changing_when_and_how_strongly_computes_nothing_anew(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    library, path = Library(), host.folder / "adapters" / "base.safetensors"
    first = library.key_values(unit("base"), path, host)
    monkeypatch.setattr(IPAdapter, "key_values", lambda *_: pytest.fail("computed"))
    assert library.key_values(unit("base", scale=0.3, start=0.2, end=0.9), path, host) is first
