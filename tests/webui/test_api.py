"""What a script's arguments may look like, and what each wrong one is answered."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import PICTURES
from lib_ipadapter.webui import api, decoding

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 40, 3), dtype=np.uint8))
REST = [None if field.type in PICTURES else field.default for field in FIELDS[6:]]
"""What few adapters know, as the page has it where nothing is chosen."""
PAGE_UNIT = [True, PICTURE, "ip-adapter_sd15", 0.5, 0.0, 0.8, *REST]
DISABLED = [False, None, "None", 0.6, 0.0, 1.0, *REST]


def encoded(form: str = "PNG") -> str:
    buffer = io.BytesIO()
    PICTURE.save(buffer, form)
    return base64.b64encode(buffer.getvalue()).decode()


def unit(**values: object) -> dict[str, object]:
    return {"image": encoded(), "model": "ip-adapter_sd15", **values}


@pytest.mark.parametrize(
    "form",
    [
        encoded(),
        "data:image/png;base64," + encoded(),
        " \nDATA:image/png;base64," + encoded(),
        "\n".join(encoded()[i : i + 76] for i in range(0, len(encoded()), 76)),
        encoded().replace("+", "-").replace("/", "_"),
        encoded().rstrip("="),
    ],
    ids=["bare", "data URI", "spaced data URI", "wrapped", "URL-safe", "unpadded"],
)
def test_every_form_of_base64_gives_the_same_picture(form: str) -> None:
    (parsed,) = api.parse_units([unit(image=form)])
    assert parsed.image is not None
    assert np.array_equal(np.asarray(parsed.image), np.asarray(PICTURE))


@pytest.mark.parametrize(
    "wrong", ["/etc/passwd", "C:\\a.png", "https://a.example/b.png", "file:///a.png", 3, ["a"], {}]
)
def test_a_path_an_address_or_another_type_is_refused_and_never_opened(wrong: object) -> None:
    with pytest.raises(UnitError, match="image"):
        api.parse_units([unit(image=wrong)])


@pytest.mark.parametrize("cut", [10, 60, 900])
def test_a_damaged_picture_is_one_sentence(cut: int) -> None:
    data = base64.b64encode(base64.b64decode(encoded())[:cut]).decode()
    with pytest.raises(UnitError, match=r"IP-Adapter: image is .*\.$"):
        api.parse_units([unit(image=data)])


def test_a_format_that_starts_other_programs_is_refused() -> None:
    data = io.BytesIO()
    PICTURE.save(data, "EPS")
    with pytest.raises(UnitError, match="not a picture that can be read"):
        api.parse_units([unit(image=base64.b64encode(data.getvalue()).decode())])


def test_a_picture_of_too_many_pixels_is_refused_from_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = unit()
    monkeypatch.setattr(decoding, "MAX_PIXELS", 1199)
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(UnitError, match="40 x 30"):
        api.parse_units([sent])


def test_the_pictures_of_a_request_have_a_limit_together_counted_from_their_headers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = encoded()
    monkeypatch.setattr(decoding, "MOST_PIXELS", 4 * 1200)
    assert len(api.parse_units([unit(images=[one, one]), unit()])) == 2
    for sent in ([unit(images=[one] * 4)], [unit(image_mask=one), unit(mask=one), unit(negative_image=one)]):
        with pytest.raises(UnitError, match=r"with \w+, 40 x 30, the pictures of this request .* together; send fewer"):
            api.parse_units(sent)


def test_defaults_are_filled_in_and_fields_go_by_name() -> None:
    (parsed,) = api.parse_units([{"model": "m", "image": encoded()}])
    assert (parsed.enabled, parsed.scale, parsed.start, parsed.end) == (True, 0.6, 0.0, 1.0)


def test_what_the_webui_fills_up_behind_the_units_is_dropped() -> None:
    filled = [unit(), unit(scale=1.0), *DISABLED[2:], *DISABLED, *DISABLED]
    assert [parsed.scale for parsed in api.parse_units(filled)] == [0.6, 1.0]


def test_page_and_api_give_the_same_unit() -> None:
    (by_name,) = api.parse_units([unit(scale=0.5, end=0.8)])
    (by_order, *rest) = api.parse_units([*PAGE_UNIT, *DISABLED])
    assert by_name.order == by_order.order
    assert not any(u.active for u in rest)


@pytest.mark.parametrize("args", [[], [None] * len(DISABLED) * 3, DISABLED * 3])
def test_nothing_said_is_no_active_unit(args: list[object]) -> None:
    assert not any(parsed.active for parsed in api.parse_units(args))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"weight": 1}, "no field 'weight'; the fields are " + ", ".join(f.name for f in FIELDS)),
        ({"scale": "much"}, "scale must be a number from 0 to 2, got 'much'"),
        ({"scale": float("nan")}, "scale must be a number"),
        ({"scale": 3}, "scale must be a number from 0 to 2, got 3"),
        ({"start": None}, "start must be a number"),
        ({"enabled": "maybe"}, "enabled must be true or false"),
        ({"model": 7}, "model must be the name of an adapter"),
        ({"face_index": 1.5}, "face_index must be a whole number from 0 to 15, got 1.5"),
        ({"face_combine": "mean"}, "face_combine must be one of average, concat; got 'mean'"),
        ({"kind": "v2"}, "kind must be one of auto, faceid-plus, faceid-plusv2, portrait-unnorm, plus; got 'v2'"),
        ({"passes": "second"}, "passes must be one of both, first, hires; got 'second'"),
        ({"detailer": True}, "detailer must be one of also, never, only; got True"),
        ({"reference": "/etc/passwd"}, "must be one of picture, input, folder, whole folder; got '/etc/passwd'"),
        ({"reference_folder": "../up"}, "reference_folder must be the name of a folder, not a path; got '../up'"),
        ({"reference_folder": "C:"}, "reference_folder must be the name of a folder, not a path"),
        ({"reference_folder": ["a"]}, "reference_folder must be the name of a folder, got ['a']"),
        ({"weight_type": "loud"}, "weight_type must be one of linear, ease in, "),
        ({"layers": "16:1"}, "layers must be numbers by layer"),
        ({"curve": [[0, 1], [2, 0]]}, "curve must be numbers over the steps"),
        ({"grid": [[1], []]}, "grid must be rows of numbers"),
        ({"composition_scale": 3}, "composition_scale must be a number from 0 to 2, got 3"),
        ({"face": [0.5] * 511}, "got torch.float32 of shape [511]"),
        ({"face": "AAAA" * 800}, "got 2400 bytes, not a multiple of 2048"),
    ],
)
def test_a_wrong_value_names_the_field_and_what_is_expected(wrong: dict[str, object], said: str) -> None:
    with pytest.raises(UnitError) as caught:
        api.parse_units([unit(**wrong)])
    assert said in str(caught.value)


def test_weights_may_be_sent_as_objects_lists_or_text_and_a_second_picture_as_base64() -> None:
    sent = {"layers": {"4": 0.25, "5": 1}, "curve": [[0, 1], [1, 0.5]], "grid": [[1, 0], [0.5, 1]]}
    (parsed,) = api.parse_units([unit(**sent, weight_type="Style and Composition", composition_image=encoded())])
    assert (parsed.layers, parsed.curve, parsed.grid) == ("4:0.25, 5:1", "0:1, 1:0.5", "1, 0; 0.5, 1")
    assert parsed.weight_type == "style and composition"
    assert parsed.composition_image is not None
    assert np.array_equal(np.asarray(parsed.composition_image), np.asarray(PICTURE))


def test_a_number_may_come_as_text() -> None:
    assert api.parse_units([unit(scale="0.5")])[0].scale == 0.5


def test_the_picture_of_a_disabled_unit_is_not_looked_at() -> None:
    (parsed,) = api.parse_units([unit(enabled=False, image="not a picture")])
    assert not parsed.active


def test_a_disabled_unit_may_hold_anything() -> None:
    (off,) = api.parse_units([{"enabled": False, "curve": "0:1, 0.5", "scale": "much", "no field": 1}])
    assert off == Unit(enabled=False)
    half_written = {f.name: "0:1, 0.5" if f.name == "curve" else f.default for f in FIELDS} | {"enabled": False}
    assert not any(one.enabled for one in api.parse_units([*DISABLED, *half_written.values()]))


def test_of_several_units_a_wrong_one_is_named() -> None:
    with pytest.raises(UnitError, match="IP-Adapter, unit 2: curve must be"):
        api.parse_units([unit(), unit(curve="0:1, 0.5")])
    with pytest.raises(UnitError, match="IP-Adapter, unit 2: a unit has no field 'nofield'"):
        api.parse_units([unit(), {"nofield": 1}])


def test_a_picture_instead_of_a_unit_object_is_a_sentence() -> None:
    with pytest.raises(UnitError, match="unit object"):
        api.parse_units([encoded()])


def test_further_pictures_come_as_a_list_in_any_form() -> None:
    for given in ([encoded(), {"image": encoded()}], [base64.b64decode(encoded())] * 2, [PICTURE, None, PICTURE]):
        (parsed,) = api.parse_units([unit(images=given)])
        assert len(parsed.images) == 2
        assert parsed.pictures[0].tobytes() == parsed.pictures[2].tobytes()
    assert len(api.parse_units([unit(images=encoded())])[0].images) == 1


def test_the_weights_of_pictures_in_a_list_follow_that_of_the_first() -> None:
    listed = [{"image": encoded(), "weight": 0.5}, encoded()]
    assert api.parse_units([unit(images=listed)])[0].weights == "1 0.5 1"
    assert api.parse_units([{"images": listed, "model": "m"}])[0].weights == "0.5 1"
    assert api.parse_units([unit(images=listed, weights="2 2")])[0].weights == "2 2"
    assert api.parse_units([{"images": listed, "model": "m", "reference": "input"}])[0].weights == "1 0.5 1"


@pytest.mark.parametrize("empty", ["", None, []])
def test_empty_weights_say_nothing_against_those_of_the_pictures(empty: object) -> None:
    """Presets carry them."""
    given = unit(images=[{"image": PICTURE, "weight": 0.5}], weights=empty)
    assert api.parse_unit(given).weights == "1 0.5"


@pytest.mark.parametrize("empty", [None, "", " ", {"image": None}, {"image": "", "weight": 3}])
def test_an_empty_place_in_a_list_has_no_weight_that_another_picture_would_get(empty: object) -> None:
    (parsed,) = api.parse_units([unit(image="", images=[empty, {"image": encoded(), "weight": 2}, empty])])
    assert (len(parsed.pictures), parsed.weights) == (1, "2")
    (parsed,) = api.parse_units([unit(images=[empty, {"image": encoded(), "weight": 2}])])
    assert (len(parsed.pictures), parsed.weights) == (2, "1 2")


def test_a_picture_in_a_list_says_nothing_that_is_not_understood() -> None:
    with pytest.raises(UnitError, match="a picture of images has no 'wieght'; it has image and weight"):
        api.parse_units([unit(images=[{"image": encoded(), "wieght": 2}])])


@pytest.mark.parametrize("name", ["images", "negative_image"])
def test_of_other_pictures_a_path_is_refused_too(name: str) -> None:
    with pytest.raises(UnitError, match="in base64"):
        api.parse_units([unit(**{name: "/etc/passwd"})])


def test_a_picture_beyond_what_pillow_opens_is_refused_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(UnitError, match="image is too large; the limit is 64 megapixels"):
        api.parse_units([unit(image=encoded())])


def test_too_many_pictures_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "decode_picture", lambda _: pytest.fail("was decoded"))
    with pytest.raises(UnitError, match="limit is 64"):
        api.parse_units([{"images": ["x"] * 65, "model": "m"}])
