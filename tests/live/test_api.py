"""What a request may look like, and what stays apart from it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageOps

from tests.live import models, pictures
from tests.live.client import Client, encode
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe


def wrapped(text: str) -> str:
    return "\n".join(text[i : i + 76] for i in range(0, len(text), 76)) + "\n"


SAME_PICTURE: dict[str, Callable[[str], str]] = {
    "data URI": lambda text: f"data:image/png;base64,{text}",
    "lines": wrapped,
    "data URI with lines": lambda text: f"data:image/png;base64,{wrapped(text)}",
    "URL-safe": lambda text: text.replace("+", "-").replace("/", "_"),
    "without padding": lambda text: text.rstrip("="),
}


@pytest.mark.parametrize("shape", SAME_PICTURE)
def test_base64_in_any_dress_is_the_same_picture(
    shape: str, client: Client, reference: Image.Image, unit: MakeUnit
) -> None:
    given = SAME_PICTURE[shape](encode(reference))
    bare, dressed = client.txt2img([unit()]), client.txt2img([unit(image=given)])
    assert np.array_equal(dressed.picture, bare.picture)
    assert dressed.infotext == bare.infotext


@pytest.mark.parametrize(
    "name",
    [
        f"{models.BASE}.safetensors",
        models.BASE.upper(),
        f" {models.BASE} ",
        f"{models.BASE} [0123abcd]",
    ],
    ids=["extension", "upper case", "spaces", "hash"],
)
def test_a_model_is_found_by_any_of_its_names(name: str, client: Client, unit: MakeUnit) -> None:
    assert np.array_equal(client.txt2img([unit(model=name)]).picture, client.txt2img([unit()]).picture)


def test_missing_fields_take_the_defaults(client: Client, unit: MakeUnit) -> None:
    spelled = unit(enabled=True, scale=0.6, start=0.0, end=1.0)
    assert np.array_equal(client.txt2img([unit()]).picture, client.txt2img([spelled]).picture)


def test_numbers_may_come_as_text(client: Client, unit: MakeUnit) -> None:
    as_text = unit(enabled="true", scale="0.9", start="0", end="0.5")
    as_numbers = unit(scale=0.9, start=0, end=0.5)
    assert np.array_equal(client.txt2img([as_text]).picture, client.txt2img([as_numbers]).picture)


def test_the_title_may_be_in_any_case(client: Client, unit: MakeUnit) -> None:
    shouted = client.txt2img(alwayson_scripts={"IP-ADAPTER": {"args": [unit()]}})
    assert np.array_equal(shouted.picture, client.txt2img([unit()]).picture)


def test_an_empty_list_of_arguments_is_no_unit(client: Client) -> None:
    assert np.array_equal(client.txt2img([]).picture, client.txt2img().picture)


def test_more_units_than_the_page_has_are_all_used(client: Client, probe: Probe, unit: MakeUnit) -> None:
    with probe.recording() as seen:
        made = client.txt2img([unit(scale=0.2)] * 5)
    seen.check_roles(units=5)
    assert "IP-Adapter 5" in made.infotext


def test_the_order_of_units_does_not_change_a_bit(client: Client, unit: MakeUnit) -> None:
    units = [unit(), unit(model=models.PLUS, scale=0.3), unit(scale=0.9, end=0.5)]
    assert np.array_equal(client.txt2img(units).picture, client.txt2img(units[::-1]).picture)


def test_a_request_without_units_is_plain_after_one_with(client: Client, unit: MakeUnit) -> None:
    plain = client.txt2img()
    client.txt2img([unit()])
    after = client.txt2img()
    assert np.array_equal(after.picture, plain.picture)
    assert after.infotext == plain.infotext


@pytest.mark.parametrize("route", ["script-info", "scripts"])
def test_the_lists_of_scripts_still_answer(route: str, client: Client) -> None:
    assert "ip-adapter" in str(client.get(f"/sdapi/v1/{route}")).lower()


def test_each_picture_of_a_batch_is_as_if_made_alone(client: Client, unit: MakeUnit) -> None:
    """To 1 of 255: larger batches are computed in another order."""
    batch = client.txt2img([unit()], batch_size=3)
    for i, picture in enumerate(batch.pictures[-3:]):
        alone = client.txt2img([unit()], seed=1 + i).picture.astype(int)
        assert np.abs(picture - alone).max() <= 1


FORMATS = ["PNG", "JPEG", "WEBP", "BMP", "GIF"]


@pytest.mark.parametrize("form", FORMATS)
def test_common_formats_are_read(form: str, client: Client, reference: Image.Image, unit: MakeUnit) -> None:
    file = io.BytesIO()
    reference.save(file, form)
    assert client.txt2img([unit(image=base64.b64encode(file.getvalue()).decode())]).pictures


ODD = {
    "one pixel": lambda: Image.new("RGB", (1, 1), "red"),
    "long and thin": lambda: pictures.reference(2000, 8),
    "transparent": lambda: Image.new("RGBA", (300, 200), (255, 0, 0, 90)),
    "16 bits": lambda: Image.fromarray(np.arange(65536, dtype=np.uint16).reshape(256, 256)),
    "grey": lambda: ImageOps.grayscale(pictures.reference()),
    "black": lambda: Image.new("RGB", (64, 64)),
    "palette": lambda: pictures.reference().quantize(8),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_pictures_work(kind: str, client: Client, unit: MakeUnit) -> None:
    assert client.txt2img([unit(image=encode(ODD[kind]()))]).pictures


@pytest.mark.parametrize("only_masked", [False, True])
def test_inpainting_gives_the_encoder_the_whole_reference(
    only_masked: bool, client: Client, reference: Image.Image, probe: Probe, unit: MakeUnit
) -> None:
    """The canvas may be cropped to the mask; the picture that is the prompt is not.

    Its features are in the cache from txt2img: had it been cropped, it would be another picture and be encoded anew.
    """
    probe.forget()
    client.txt2img([unit()])
    encoded = probe.state()["features"]
    mask = Image.new("L", (128, 128))
    mask.paste(255, (70, 70, 100, 100))
    with probe.recording() as seen:
        made = client.img2img(
            pictures.reference(128, 128),
            [unit()],
            mask=encode(mask),
            inpaint_full_res=only_masked,
            inpaint_full_res_padding=8,
            inpainting_fill=1,
        )
    seen.check_roles()
    assert probe.state()["features"] == encoded
    assert made.picture.shape == (128, 128, 3) if only_masked else (64, 64, 3)


def test_loopback_of_a_picture_keeps_the_adapter(client: Client, probe: Probe, unit: MakeUnit) -> None:
    first = client.txt2img([unit()]).picture
    with probe.recording() as seen:
        client.img2img(Image.fromarray(first), [unit()], steps=6)
    seen.check_roles()
