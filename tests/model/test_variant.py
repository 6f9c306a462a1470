"""What a published file is, told from the shapes recorded in tests/shapes.

The shapes are those that the authors' own code loads. A published file needs no more than its list of shapes here.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Base, Feature, Kind, Variant, detect

SHAPES = Path(__file__).parents[1] / "shapes"

SD15_WIDTHS = (320, 320, 640, 640, *[1280] * 5, 640, 640, 640, 320, 320, 320, 1280)
SDXL_WIDTHS = (*[640] * 4, *[1280] * 50, *[640] * 6, *[1280] * 10)


def sd15(kind: Kind, feature: Feature, features: int, tokens: int | None, **resampler: int) -> Variant:
    about = {"kind": kind, "feature": feature, "features": features, "tokens": tokens}
    return Variant(**about, base=Base.SD15, width=768, layers=SD15_WIDTHS, **resampler)


def sdxl(kind: Kind, feature: Feature, features: int, tokens: int, **resampler: int) -> Variant:
    about = {"kind": kind, "feature": feature, "features": features, "tokens": tokens}
    return Variant(**about, base=Base.SDXL, width=2048, layers=SDXL_WIDTHS, **resampler)


SD15_PLUS = sd15(Kind.PLUS, Feature.HIDDEN_STATES, 1280, 16, dim=768, depth=4, heads=12, ff_mult=4)
SDXL_PLUS = sdxl(Kind.PLUS, Feature.HIDDEN_STATES, 1280, 16, dim=1280, depth=4, heads=20, ff_mult=4)

SUPPORTED = {
    "ip-adapter_sd15": (sd15(Kind.BASE, Feature.IMAGE_EMBEDS, 1024, 4), "vit-h"),
    "ip-adapter_sd15_light_v11": (sd15(Kind.BASE, Feature.IMAGE_EMBEDS, 1024, 4), "vit-h"),
    "ip-adapter_sd15_vit-G": (sd15(Kind.BASE, Feature.IMAGE_EMBEDS, 1280, 4), "vit-bigg"),
    "ip-adapter-plus_sd15": (SD15_PLUS, "vit-h"),
    "ip-adapter-plus-face_sd15": (SD15_PLUS, "vit-h"),
    "ip_plus_composition_sd15": (SD15_PLUS, "vit-h"),
    "ip-adapter-full-face_sd15": (sd15(Kind.FULL, Feature.HIDDEN_STATES, 1280, None), "vit-h"),
    "ip-adapter_sdxl": (sdxl(Kind.BASE, Feature.IMAGE_EMBEDS, 1280, 4), "vit-bigg"),
    "ip-adapter_sdxl_vit-h": (sdxl(Kind.BASE, Feature.IMAGE_EMBEDS, 1024, 4), "vit-h"),
    "ip-adapter-plus_sdxl_vit-h": (SDXL_PLUS, "vit-h"),
}

REFUSED = {
    "ip-adapter-faceid_sd15": "FaceID adapter",
    "ip-adapter-faceid_sdxl": "FaceID adapter",
    "ip-adapter-faceid-plusv2_sd15": "FaceID-plus",
    "ip-adapter-faceid-plusv2_sdxl": "FaceID-plus",
    "ip-adapter-faceid-portrait-v11_sd15": "FaceID adapter",
    "ip-adapter-faceid-portrait_sdxl": "FaceID adapter",
    "ip-adapter-faceid-portrait_sdxl_unnorm": "InstantID",
    "instantid": "InstantID",
    "kolors-ip-adapter-plus": "Kolors",
    "pulid_sdxl": "PuLID",
}


def recorded(name: str) -> dict[str, tuple[int, ...]]:
    return {key: tuple(shape) for key, shape in json.loads((SHAPES / f"{name}.json").read_text()).items()}


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_supported_file_gives_its_variant_and_encoder(name: str) -> None:
    found = detect(recorded(name))
    assert (found, found.encoder) == SUPPORTED[name]


@pytest.mark.parametrize("name", SUPPORTED)
def test_modules_built_for_a_file_have_exactly_its_keys_and_shapes(name: str) -> None:
    shapes = recorded(name)
    with torch.device("meta"):
        built = IPAdapter(detect(shapes)).state_dict()
    assert {key: tuple(tensor.shape) for key, tensor in built.items()} == shapes


@pytest.mark.parametrize("name", REFUSED)
def test_another_file_is_refused_by_its_own_name_in_one_sentence(name: str) -> None:
    with pytest.raises(CheckpointError, match=REFUSED[name]) as refusal:
        detect(recorded(name))
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)


def test_every_recorded_file_is_either_supported_or_refused() -> None:
    assert {path.stem for path in SHAPES.glob("*.json")} == SUPPORTED.keys() | REFUSED.keys()


@pytest.mark.parametrize("tokens", [1, 8, 32])
def test_any_number_of_tokens_is_read_off_the_shapes(tokens: int) -> None:
    base, plus = recorded("ip-adapter_sd15"), recorded("ip-adapter-plus_sd15")
    base["image_proj.proj.weight"] = (tokens * 768, 1024)
    plus["image_proj.latents"] = (1, tokens, 768)
    assert (detect(base).tokens, detect(plus).tokens) == (tokens, tokens)


def test_a_full_adapter_leaves_the_number_of_tokens_to_the_encoder_and_says_so() -> None:
    assert str(detect(recorded("ip-adapter-full-face_sd15"))) == "sd15 full, 1 + patches tokens, encoder vit-h"


@pytest.mark.parametrize("width", [512, 1024])
def test_a_full_adapter_for_an_encoder_as_wide_as_a_face_embedding_is_no_faceid(width: int) -> None:
    shapes = recorded("ip-adapter-full-face_sd15")
    shapes |= {"image_proj.proj.0.weight": (width, width), "image_proj.proj.2.weight": (768, width)}
    assert (detect(shapes).kind, detect(shapes).features) == (Kind.FULL, width)


def test_an_encoder_that_nobody_published_is_described_by_its_width() -> None:
    shapes = recorded("ip-adapter_sd15") | {"image_proj.proj.weight": (3072, 333)}
    assert detect(shapes).encoder == "unknown (333 wide)"


def test_a_file_without_maps_or_with_too_few_is_refused() -> None:
    shapes = recorded("ip-adapter_sd15")
    with pytest.raises(CheckpointError, match="no K/V maps"):
        detect({k: v for k, v in shapes.items() if k.startswith("image_proj")})
    del shapes["ip_adapter.31.to_k_ip.weight"]
    with pytest.raises(CheckpointError, match=r"15 cross-attention layers; expected 16 .* or 70"):
        detect(shapes)


@given(data=st.data(), name=st.sampled_from(["ip-adapter_sd15", "ip-adapter-plus_sd15", "ip-adapter-full-face_sd15"]))
def test_spoiled_shapes_give_a_variant_or_a_sentence_and_never_a_traceback(data: st.DataObject, name: str) -> None:
    shapes = recorded(name)
    key = data.draw(st.sampled_from(sorted(shapes)))
    spoiled = data.draw(st.none() | st.lists(st.sampled_from([0, 1, 7, 1280, 1 << 40]), max_size=4))
    if spoiled is None:
        del shapes[key]
    else:
        shapes[key] = tuple(spoiled)
    try:
        assert isinstance(detect(shapes), Variant)
    except CheckpointError as refusal:
        assert str(refusal).endswith(".")  # noqa: PT017 - either outcome is right
