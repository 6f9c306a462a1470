"""The image encoder: transformers' tower, the right layer, the right nothing, from a folder or a single file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModel, CLIPVisionModelWithProjection

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.encoder_files import encoder_parts
from lib_ipadapter.model.encoder_sizes import EncoderSizes, read_sizes
from lib_ipadapter.model.picture import encoder_view, pixel_values
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from lib_ipadapter.model.vision import ImageEncoder
from tests.models import EMBED, HIDDEN, tiny_adapter, tiny_encoder, variant

CPU, FULL = torch.device("cpu"), torch.float32


@pytest.fixture(scope="module")
def wide() -> CLIPVisionModelWithProjection:
    """As wide as ViT-L, whose heads are known from the width; one layer, so that it is small."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=1024, intermediate_size=64, projection_dim=768, num_hidden_layers=2, num_attention_heads=16,
        image_size=28, patch_size=14, hidden_act="quick_gelu",
    )  # fmt: skip
    return CLIPVisionModelWithProjection(config).eval()


def picture() -> Image.Image:
    return Image.linear_gradient("L").resize((90, 60)).convert("RGB")


def test_features_are_the_embedding_and_the_last_but_one_layer_without_its_norm() -> None:
    tower = tiny_encoder()
    layers: list[Tensor] = []
    for layer in tower.vision_model.encoder.layers:
        layer.register_forward_hook(lambda _, __, out: layers.append(out[0] if isinstance(out, tuple) else out))
    features = ImageEncoder(tower).encode(picture(), CPU, FULL)
    *_, last_but_one, last = layers
    torch.testing.assert_close(features.hidden_states, last_but_one)
    embed = tower.visual_projection(tower.vision_model.post_layernorm(last[:, 0]))
    torch.testing.assert_close(features.image_embeds, embed)
    assert features.image_embeds.shape == (1, EMBED)
    assert features.hidden_states.shape == (1, 17, HIDDEN)


def test_the_encoder_sees_its_own_size_and_the_normalised_crop() -> None:
    tower = tiny_encoder()
    with torch.no_grad():
        wanted = tower(pixel_values(encoder_view(picture(), 56))).image_embeds
    torch.testing.assert_close(ImageEncoder(tower).encode(picture(), CPU, FULL).image_embeds, wanted)


def test_nothing_is_zero_after_normalisation_and_no_black_picture() -> None:
    tower = tiny_encoder()
    with torch.no_grad():
        wanted = tower(torch.zeros(1, 3, 56, 56), output_hidden_states=True).hidden_states[-2]
    encoder = ImageEncoder(tower)
    nothing = encoder.encode_zeros(CPU, FULL).hidden_states
    assert torch.equal(nothing, wanted)
    assert not torch.allclose(nothing, encoder.encode(Image.new("RGB", (56, 56)), CPU, FULL).hidden_states, atol=1e-2)


def test_half_precision_once_does_not_round_the_encoder_for_good() -> None:
    encoder = ImageEncoder(tiny_encoder())
    before = encoder.encode(picture(), CPU, FULL)
    half = encoder.encode(picture(), CPU, torch.bfloat16)
    after = encoder.encode(picture(), CPU, FULL)
    assert torch.equal(before.image_embeds, after.image_embeds)
    assert half.image_embeds.dtype == torch.float32
    assert not torch.equal(before.image_embeds, half.image_embeds)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_encoder_rests_on_the_cpu_as_it_was_read(dtype: torch.dtype) -> None:
    encoder = ImageEncoder(tiny_encoder())
    encoder.encode(picture(), CPU, dtype)
    encoder.encode_zeros(CPU, dtype)
    assert {(p.device.type, p.dtype, p.requires_grad) for p in encoder.model.parameters()} == {("cpu", FULL, False)}


def test_an_encoder_in_a_folder_and_in_a_single_file_is_the_same(
    wide: CLIPVisionModelWithProjection, tmp_path: Path
) -> None:
    wide.save_pretrained(tmp_path / "folder", safe_serialization=True)
    save_file(wide.state_dict(), tmp_path / "file.safetensors")
    folder, file = (ImageEncoder.read(tmp_path / name) for name in ("folder", "file.safetensors"))
    assert folder.sizes == file.sizes == EncoderSizes(1024, 768, 5, 28) == read_sizes(tmp_path / "folder")
    assert read_sizes(tmp_path / "file.safetensors") == folder.sizes
    assert (folder.image_size, folder.nbytes) == (file.image_size, file.nbytes)
    one, other = (encoder.encode(picture(), CPU, FULL) for encoder in (folder, file))
    assert torch.equal(one.image_embeds, other.image_embeds)
    assert torch.equal(one.hidden_states, other.hidden_states)


def test_older_files_with_position_ids_are_read(wide: CLIPVisionModelWithProjection, tmp_path: Path) -> None:
    ids = {"vision_model.embeddings.position_ids": torch.arange(5)[None]}
    save_file(wide.state_dict() | ids, tmp_path / "old.safetensors")
    assert ImageEncoder.read(tmp_path / "old.safetensors").sizes.hidden_size == 1024


def test_a_folder_with_the_configuration_of_a_whole_clip_tells_its_vision_part(tmp_path: Path) -> None:
    vision = {"hidden_size": 1280, "patch_size": 14, "projection_dim": 1024}
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": vision}))
    assert read_sizes(tmp_path) == EncoderSizes(1280, 1024, 257)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_an_encoder_fits_where_the_width_that_is_fed_agrees(kind: Kind) -> None:
    about = variant(kind)
    assert EncoderSizes(hidden_size=HIDDEN, projection_dim=EMBED, grid=17).fits(about)
    assert not EncoderSizes(hidden_size=about.features + 1, projection_dim=about.features + 1, grid=17).fits(about)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_adapter_and_encoder_together_tell_how_many_tokens_come_out(kind: Kind) -> None:
    adapter, encoder = tiny_adapter(kind), ImageEncoder(tiny_encoder())
    seen = encoder.encode(picture(), torch.device("cpu"), torch.float32).get(adapter.variant.feature)
    assert encoder.sizes.tokens(adapter.variant) == adapter.project(seen).shape[1]


def test_a_folder_counts_with_configuration_and_weights_only(tmp_path: Path) -> None:
    assert not encoder_parts(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert not encoder_parts(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert encoder_parts(tmp_path)


def test_a_folder_without_the_projection_is_refused_rather_than_filled_with_random_numbers(tmp_path: Path) -> None:
    CLIPVisionModel(tiny_encoder().config).save_pretrained(tmp_path / "half", safe_serialization=True)
    with pytest.raises(CheckpointError, match=r"half is incomplete: .* is missing"):
        ImageEncoder.read(tmp_path / "half")


def test_a_file_that_lacks_a_layer_is_refused(wide: CLIPVisionModelWithProjection, tmp_path: Path) -> None:
    state = wide.state_dict()
    del state["vision_model.encoder.layers.1.mlp.fc2.weight"]
    save_file(state, tmp_path / "cut.safetensors")
    with pytest.raises(CheckpointError, match=r"incomplete: .*fc2\.weight is missing"):
        ImageEncoder.read(tmp_path / "cut.safetensors")


def test_a_single_file_of_unknown_width_asks_for_its_configuration(tmp_path: Path) -> None:
    save_file(tiny_encoder().state_dict(), tmp_path / "tiny.safetensors")
    with pytest.raises(CheckpointError, match=r"unknown size \(64 wide\).*config\.json"):
        read_sizes(tmp_path / "tiny.safetensors")


NO_ENCODERS = {
    "other weights": lambda path: save_file({"a": torch.ones(1)}, path),
    "scalars": lambda path: save_file({"visual_projection.weight": torch.ones(())}, path),
    "nothing beside": lambda path: save_file({"visual_projection.weight": torch.ones(2, 1024)}, path),
    "text": lambda path: path.write_text("no weights"),
    "nothing": lambda _: None,
    "folder of text model": lambda path: (path.mkdir(), (path / "config.json").write_text('{"hidden_size": 768}')),
    "folder of junk": lambda path: (path.mkdir(), (path / "config.json").write_text("{")),
    "folder of patches of no size": lambda path: (
        path.mkdir(),
        (path / "config.json").write_text('{"hidden_size": 768, "patch_size": 0}'),
    ),
    "folder of a list": lambda path: (path.mkdir(), (path / "config.json").write_text("[1]")),
    "empty folder": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("what", NO_ENCODERS)
@pytest.mark.parametrize("look", [read_sizes, ImageEncoder.read])
def test_what_is_no_encoder_is_one_sentence(what: str, look: object, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    NO_ENCODERS[what](path)
    with pytest.raises(CheckpointError, match=r"encoder\.safetensors") as refusal:
        look(path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old-style"])
def test_an_encoder_in_a_pickle_gives_the_same_features_as_in_safetensors(
    wide: CLIPVisionModelWithProjection, tmp_path: Path, zipped: bool
) -> None:
    """ControlNet keeps its encoders so: ``clip_h.pth``, a transformers state dict."""
    torch.save(wide.state_dict(), tmp_path / "clip.pth", _use_new_zipfile_serialization=zipped)
    save_file(wide.state_dict(), tmp_path / "clip.safetensors")
    pickled, safe = (ImageEncoder.read(tmp_path / name) for name in ("clip.pth", "clip.safetensors"))
    assert read_sizes(tmp_path / "clip.pth") == safe.sizes
    cpu = torch.device("cpu"), torch.float32
    assert torch.equal(pickled.encode(picture(), *cpu).image_embeds, safe.encode(picture(), *cpu).image_embeds)


class Bomb:
    def __init__(self, crater: Path) -> None:
        self.crater = crater

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.crater,))


def test_code_in_a_folders_pickle_is_not_run_though_torch_load_is_the_unsafe_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a WebUI with --disable-safe-unpickle."""
    unsafe = torch.load
    monkeypatch.setattr(torch, "load", lambda *args, **options: unsafe(*args, **{**options, "weights_only": False}))
    tiny_encoder().save_pretrained(tmp_path, safe_serialization=True)
    (tmp_path / "model.safetensors").unlink()
    torch.save({**tiny_encoder().state_dict(), "more": Bomb(tmp_path / "crater")}, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="holds code besides weights"):
        ImageEncoder.read(tmp_path)
    assert not (tmp_path / "crater").exists()
