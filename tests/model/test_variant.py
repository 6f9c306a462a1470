"""What a published file is, told from the shapes recorded in tests/shapes.

The shapes are those that the authors' own code loads. A published file needs no more than its list of shapes here.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lib_ipadapter.errors import AmbiguousError, CheckpointError, NotAnAdapterError
from lib_ipadapter.model import identity
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.checkpoint import read_leftovers, read_shapes
from lib_ipadapter.model.detection import detect
from lib_ipadapter.model.identity import identify
from lib_ipadapter.model.lora import lora_shapes
from lib_ipadapter.model.variant import Base, FaceFeature, Feature, Kind, Variant
from tests.recorded import SHAPES, recorded, sparse

SD15_WIDTHS = (320, 320, 640, 640, *[1280] * 5, 640, 640, 640, 320, 320, 320, 1280)
SDXL_WIDTHS = (*[640] * 4, *[1280] * 50, *[640] * 6, *[1280] * 10)


def sd15(kind: Kind, feature: Feature | None, features: int, tokens: int | None, **more: int) -> Variant:
    about = {"kind": kind, "feature": feature, "features": features, "tokens": tokens}
    return Variant(**about, base=Base.SD15, width=768, layers=SD15_WIDTHS, **more)


def sdxl(kind: Kind, feature: Feature | None, features: int, tokens: int, **more: int) -> Variant:
    about = {"kind": kind, "feature": feature, "features": features, "tokens": tokens}
    return Variant(**about, base=Base.SDXL, width=2048, layers=SDXL_WIDTHS, **more)


SD15_BASE = sd15(Kind.BASE, Feature.IMAGE_EMBEDS, 1024, 4)
SD15_PLUS = sd15(Kind.PLUS, Feature.HIDDEN_STATES, 1280, 16, dim=768, depth=4, heads=12, ff_mult=4)
SDXL_BASE = sdxl(Kind.BASE, Feature.IMAGE_EMBEDS, 1280, 4)
SDXL_PLUS = sdxl(Kind.PLUS, Feature.HIDDEN_STATES, 1280, 16, dim=1280, depth=4, heads=20, ff_mult=4)

NORMED = {"face": FaceFeature.NORMED, "face_width": 512, "face_dim": 1024}
SD15_FACEID = sd15(Kind.FACEID, None, 0, 4, **NORMED, lora_rank=128)
SDXL_FACEID = sdxl(Kind.FACEID, None, 0, 4, **NORMED, lora_rank=128)
VIT_H = {"feature": Feature.HIDDEN_STATES, "features": 1280, "depth": 4, "ff_mult": 4}
SD15_FACEID_PLUS = replace(SD15_FACEID, kind=Kind.FACEID_PLUS, **VIT_H, dim=768, heads=12)
SDXL_FACEID_PLUS_V2 = replace(SDXL_FACEID, kind=Kind.FACEID_PLUS_V2, **VIT_H, dim=2048, heads=32)
SD15_PORTRAIT = replace(SD15_FACEID, tokens=16, lora_rank=0)
RAW = {"face": FaceFeature.RAW, "face_width": 512}
SDXL_UNNORM = replace(SDXL_PLUS, kind=Kind.PORTRAIT_UNNORM, feature=None, features=0, **RAW)

SUPPORTED = {
    "ip-adapter_sd15": (SD15_BASE, "vit-h"),
    "ip-adapter_sd15_light": (SD15_BASE, "vit-h"),
    "ip-adapter_sd15_light_v11": (SD15_BASE, "vit-h"),
    "ip-adapter_sd15_vit-G": (sd15(Kind.BASE, Feature.IMAGE_EMBEDS, 1280, 4), "vit-bigg"),
    "ip-adapter-plus_sd15": (SD15_PLUS, "vit-h"),
    "ip-adapter-plus-face_sd15": (SD15_PLUS, "vit-h"),
    "ip_plus_composition_sd15": (SD15_PLUS, "vit-h"),
    "ip-adapter-full-face_sd15": (sd15(Kind.FULL, Feature.HIDDEN_STATES, 1280, None), "vit-h"),
    "ip-adapter_sdxl": (SDXL_BASE, "vit-bigg"),
    "ip-adapter_sdxl_vit-h": (sdxl(Kind.BASE, Feature.IMAGE_EMBEDS, 1024, 4), "vit-h"),
    "ip-adapter-plus_sdxl_vit-h": (SDXL_PLUS, "vit-h"),
    "ip-adapter-plus-face_sdxl_vit-h": (SDXL_PLUS, "vit-h"),
    "ip_plus_composition_sdxl": (SDXL_PLUS, "vit-h"),
    "ip-adapter-faceid_sd15": (SD15_FACEID, None),
    "ip-adapter-faceid_sdxl": (SDXL_FACEID, None),
    "ip-adapter-faceid-plus_sd15": (SD15_FACEID_PLUS, "vit-h"),
    "ip-adapter-faceid-plusv2_sd15": (replace(SD15_FACEID_PLUS, kind=Kind.FACEID_PLUS_V2), "vit-h"),
    "ip-adapter-faceid-plusv2_sdxl": (SDXL_FACEID_PLUS_V2, "vit-h"),
    "ip-adapter-faceid-portrait_sd15": (SD15_PORTRAIT, None),
    "ip-adapter-faceid-portrait-v11_sd15": (SD15_PORTRAIT, None),
    "ip-adapter-faceid-portrait_sdxl": (replace(SDXL_FACEID, tokens=16, lora_rank=0), None),
    "ip-adapter-faceid-portrait_sdxl_unnorm": (SDXL_UNNORM, None),
    "noobIPAMARK1_mark1": (SDXL_BASE, "vit-bigg"),
    "ostris_with_image_encoder": (replace(SD15_PLUS, tokens=32), "vit-h"),
    "raw_training_sd15": (SD15_BASE, "vit-h"),
    "raw_training_deduplicated_sd15": (SD15_BASE, "vit-h"),
    "diffusers_unet_plus_sd15": (SD15_PLUS, "vit-h"),
}

UNUSED = {
    "noobIPAMARK1_mark1": ["adapter_modules", "image_proj_model"],
    "ostris_with_image_encoder": ["image_encoder"],
    "raw_training_sd15": ["unet"],
    "raw_training_deduplicated_sd15": ["unet"],
    "diffusers_unet_plus_sd15": ["conv_in", "down_blocks", "mid_block"],
}

REFUSED = {
    "instantid": "InstantID, which needs its own ControlNet",
    "kolors-ip-adapter-plus": "an IP-Adapter for Kolors",
    "kolors-ip-adapter-faceid-plus": "a FaceID adapter for Kolors",
    "pulid_sdxl": "PuLID",
    "xlabs-flux-ip-adapter": "XLabs' IP-Adapter for Flux",
    "instantx-flux-ip-adapter": "an IP-Adapter for Flux",
    "sd3.5-large-ip-adapter": "an IP-Adapter for Stable Diffusion 3",
}


@pytest.fixture(autouse=True)
def zeros_have_no_known_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """These files are gigabytes of nothing, and reading them all takes minutes."""
    monkeypatch.setattr(identity, "sha256", lambda _: "")


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_supported_file_gives_its_variant_and_encoder(name: str, tmp_path: Path) -> None:
    found = identify(sparse(tmp_path / f"{name}.safetensors", recorded(name)))
    assert (found, found.encoder) == SUPPORTED[name]


@pytest.mark.parametrize("name", SUPPORTED)
def test_modules_and_lora_built_for_a_file_have_exactly_the_keys_and_shapes_of_the_adapter_in_it(
    name: str, tmp_path: Path
) -> None:
    path = sparse(tmp_path / f"{name}.safetensors", recorded(name))
    shapes, variant = read_shapes(path), identify(path)
    with torch.device("meta"):
        adapter = IPAdapter(variant)
        adapter.load({key: torch.empty(shape) for key, shape in shapes.items()}, name)
    assert {key: tuple(tensor.shape) for key, tensor in adapter.tensors().items()} == shapes
    assert len(adapter.lora) == (2 * len(variant.layers) if variant.lora_rank else 0)


@pytest.mark.parametrize("name", SUPPORTED)
def test_what_is_not_the_adapters_is_left_out_and_named(name: str, tmp_path: Path) -> None:
    path = sparse(tmp_path / f"{name}.safetensors", recorded(name))
    assert read_leftovers(path) == UNUSED.get(name, [])


@pytest.mark.parametrize("name", REFUSED)
def test_another_file_is_refused_by_its_own_name_in_one_sentence(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=REFUSED[name]) as refusal:
        identify(sparse(tmp_path / f"{name}.safetensors", recorded(name)))
    assert str(refusal.value).endswith(".")
    assert "\n" not in str(refusal.value)
    assert not isinstance(refusal.value, NotAnAdapterError | AmbiguousError)


@pytest.mark.parametrize("name", ["ip-adapter_sd15", "ip-adapter-plus_sd15"])
def test_an_adapter_for_stable_diffusion_2_is_refused_as_that(name: str) -> None:
    shapes = recorded(name)
    wider = {k: (s[0], 1024) if k.startswith("ip_adapter") else s for k, s in shapes.items()}
    with pytest.raises(CheckpointError, match="Stable Diffusion 2"):
        detect(wider)


def test_every_recorded_file_is_either_supported_or_refused() -> None:
    assert {path.stem for path in SHAPES.glob("*.json")} == SUPPORTED.keys() | REFUSED.keys()


@pytest.mark.parametrize("name", ["ip-adapter-faceid_sd15", "ip-adapter-faceid_sdxl"])
def test_the_lora_is_expected_in_the_shapes_that_the_published_file_has(name: str) -> None:
    found = {key: shape for key, shape in recorded(name).items() if "_lora." in key}
    assert lora_shapes(SUPPORTED[name][0]) == found


ODD = {"dim": 96, "depth": 3, "heads": 5, "head_dim": 64, "ff_mult": 2, "tokens": 7, "width": 40, "layers": (32,) * 16}
NO_RESAMPLER = {"dim": 0, "depth": 0, "heads": 0, "ff_mult": 0}
SEEN = {"feature": Feature.HIDDEN_STATES, "features": 33}
UNSEEN = {"feature": None, "features": 0}
ODD_KINDS = {
    Kind.PLUS: SEEN,
    Kind.FACEID: {**UNSEEN, **NORMED, **NO_RESAMPLER, "face_width": 30},
    Kind.FACEID_PLUS_V2: {**SEEN, **NORMED, "face_dim": 50, "lora_rank": 3, "dim": 40},
    Kind.PORTRAIT_UNNORM: {**UNSEEN, **RAW},
}


@pytest.mark.parametrize("kind", ODD_KINDS)
def test_every_size_is_read_off_the_shapes(kind: Kind) -> None:
    variant = Variant(base=Base.SD15, kind=kind, **{**ODD, **ODD_KINDS[kind]})
    with torch.device("meta"):
        state = IPAdapter(variant).state_dict()
    shapes = {key: tuple(tensor.shape) for key, tensor in state.items()} | lora_shapes(variant)
    assert detect(shapes, kind) == variant


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
    assert detect(shapes).encoder == "one that is not published"


def test_a_file_without_maps_or_with_too_few_is_refused() -> None:
    shapes = recorded("ip-adapter_sd15")
    with pytest.raises(CheckpointError, match="no K/V maps"):
        detect({k: v for k, v in shapes.items() if k.startswith("image_proj")})
    del shapes["ip_adapter.31.to_k_ip.weight"]
    with pytest.raises(CheckpointError, match=r"15 cross-attention layers; expected 16 .* or 70"):
        detect(shapes)


SPOILED = ("ip-adapter_sd15", "ip-adapter-plus_sd15", "ip-adapter-full-face_sd15", "ip-adapter-faceid-plus_sd15")


@given(data=st.data(), name=st.sampled_from(SPOILED))
def test_spoiled_shapes_give_a_variant_or_a_sentence_and_never_a_traceback(data: st.DataObject, name: str) -> None:
    shapes = recorded(name)
    key = data.draw(st.sampled_from(sorted(shapes)))
    spoiled = data.draw(st.none() | st.lists(st.sampled_from([0, 1, 7, 1280, 1 << 40]), max_size=4))
    if spoiled is None:
        del shapes[key]
    else:
        shapes[key] = tuple(spoiled)
    try:
        assert isinstance(detect(shapes, SUPPORTED[name][0].kind), Variant)
    except CheckpointError as refusal:
        assert str(refusal).endswith(".")  # noqa: PT017 - either outcome is right
