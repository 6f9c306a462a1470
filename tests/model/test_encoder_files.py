"""An encoder is known by what is in it: every layout, container and name gives the same features."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model import encoder_dialects
from lib_ipadapter.model.encoder_files import encoder_parts
from lib_ipadapter.model.encoder_sizes import EncoderSizes, read_sizes
from lib_ipadapter.model.picture import encoder_view, pixel_values
from lib_ipadapter.model.vision import ImageEncoder, ImageFeatures
from tests.model.clip_towers import open_clip_forward, open_clip_tower, small_vit_l
from tests.model.open_clip import as_open_clip

CPU = torch.device("cpu")
PICTURE = Image.linear_gradient("L").resize((90, 60)).convert("RGB")

State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    return dict(small_vit_l().state_dict())


def features(path: Path, dtype: torch.dtype = torch.float32) -> ImageFeatures:
    return ImageEncoder.read(path).encode(PICTURE, CPU, dtype)


def check_same(one: ImageFeatures, other: ImageFeatures) -> None:
    """To the last bits: where a tensor lies in a file decides which way it is summed."""
    torch.testing.assert_close(one.image_embeds, other.image_embeds, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(one.hidden_states, other.hidden_states, rtol=1e-5, atol=1e-5)


def test_a_tower_of_open_clip_computes_what_open_clip_computes(tmp_path: Path) -> None:
    tower = open_clip_tower()
    save_file(tower, tmp_path / "anything.safetensors")
    embed, hidden = open_clip_forward(tower, pixel_values(encoder_view(PICTURE, 28)))
    found = features(tmp_path / "anything.safetensors")
    torch.testing.assert_close(found.image_embeds, embed, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(found.hidden_states, hidden, rtol=1e-4, atol=1e-4)


def test_the_table_loses_nothing_either_way(state: State) -> None:
    parameters = {key: tensor for key, tensor in state.items() if "position_ids" not in key}
    there = as_open_clip(parameters)
    assert there.keys() == open_clip_tower().keys()
    assert {key: tensor.shape for key, tensor in there.items()} == {k: t.shape for k, t in open_clip_tower().items()}
    back = encoder_dialects.read(there)
    assert back.keys() == parameters.keys()
    assert all(torch.equal(back[key], parameters[key]) for key in parameters)


def below(prefix: str, state: State) -> State:
    return {prefix + key: tensor for key, tensor in state.items()}


TEXT = {"text_model.embeddings.token_embedding.weight": torch.ones(3, 2), "logit_scale": torch.ones(())}
OPEN_TEXT = {
    "transformer.resblocks.0.attn.in_proj_weight": torch.ones(6, 2),
    "positional_embedding": torch.ones(7, 2),
    "token_embedding.weight": torch.ones(3, 2),
    "text_projection": torch.ones(2, 2),
    "ln_final.weight": torch.ones(2),
}

LAYOUTS: dict[str, Callable[[State], State]] = {
    "transformers": lambda s: s,
    "whole CLIP": lambda s: s | TEXT,
    "wrapped": lambda s: below("clip.", s),
    "wrapped twice, beside others": lambda s: below("model.clip.", s) | below("other.", TEXT),
    "open_clip": lambda s: below("visual.", as_open_clip(s)),
    "open_clip without prefix": as_open_clip,
    "whole open_clip": lambda s: below("visual.", as_open_clip(s)) | OPEN_TEXT,
    "whole open_clip, wrapped": lambda s: below("model.", below("visual.", as_open_clip(s)) | OPEN_TEXT),
}

CONTAINERS: dict[str, Callable[[State, Path], object]] = {
    "safetensors": lambda s, path: save_file({k: t.contiguous() for k, t in s.items()}, path),
    "pickle": torch.save,
    "old-style pickle": lambda s, path: torch.save(s, path, _use_new_zipfile_serialization=False),
    "nested pickle": lambda s, path: torch.save({"epoch": 3, "state_dict": s}, path),
}


EVERY = [
    *((layout, "safetensors") for layout in LAYOUTS),
    *(("whole open_clip", container) for container in CONTAINERS if container != "safetensors"),
    ("transformers", "old-style pickle"),  # ControlNet's clip_h.pth
]


@pytest.mark.parametrize(("layout", "container"), EVERY)
def test_every_layout_and_container_is_the_same_encoder_whatever_its_name(
    layout: str, container: str, state: State, tmp_path: Path
) -> None:
    save_file(state, tmp_path / "plain.safetensors")
    path = tmp_path / "Das ist kein Name.bin"
    CONTAINERS[container](LAYOUTS[layout](state), path)
    assert read_sizes(path) == EncoderSizes(1024, 768, 5, 28)
    check_same(features(path), features(tmp_path / "plain.safetensors"))


NARROW = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
)
@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_an_encoder_stays_as_small_as_its_file_and_computes_in_the_dtype_it_is_asked_for(
    dtype: torch.dtype, compute: torch.dtype, state: State, tmp_path: Path
) -> None:
    narrow = {k: t.to(dtype) if t.is_floating_point() else t for k, t in state.items()}
    save_file(narrow, tmp_path / "narrow.safetensors")
    save_file({k: t.float() if t.is_floating_point() else t for k, t in narrow.items()}, tmp_path / "wide.safetensors")
    encoder = ImageEncoder.read(tmp_path / "narrow.safetensors")
    assert encoder.nbytes == sum(t.numel() for t in state.values() if t.is_floating_point()) * dtype.itemsize
    check_same(encoder.encode(PICTURE, CPU, compute), features(tmp_path / "wide.safetensors", compute))


def shards(state: State, folder: Path, suffix: str) -> None:
    """As transformers writes what is too large for one file."""
    stem = {"safetensors": "model", "bin": "pytorch_model"}[suffix]
    names = {key: f"{stem}-0000{1 + i % 2}-of-00002.{suffix}" for i, key in enumerate(state)}
    for name in set(names.values()):
        part = {key: tensor for key, tensor in state.items() if names[key] == name}
        torch.save(part, folder / name) if suffix == "bin" else save_file(part, folder / name)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": names}))


FOLDERS: dict[str, Callable[[State, Path], object]] = {
    "model.safetensors": lambda s, folder: save_file(s, folder / "model.safetensors"),
    "pytorch_model.bin": lambda s, folder: torch.save(s, folder / "pytorch_model.bin"),
    "model.fp16.safetensors": lambda s, folder: save_file(s, folder / "model.fp16.safetensors"),
    "one file of any name": lambda s, folder: torch.save(s, folder / "Mein Encoder.PTH"),
    "open_clip's layout": lambda s, folder: torch.save(as_open_clip(s), folder / "open_clip.bin"),
    "several safetensors": lambda s, folder: shards(s, folder, "safetensors"),
    "several pickles": lambda s, folder: shards(s, folder, "bin"),
}


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_with_its_configuration_is_the_same_encoder(kind: str, state: State, tmp_path: Path) -> None:
    save_file(state, tmp_path / "plain.safetensors")
    folder = tmp_path / "any name"
    folder.mkdir()
    small_vit_l().config.save_pretrained(folder)
    FOLDERS[kind](state, folder)
    assert encoder_parts(folder)
    assert read_sizes(folder) == EncoderSizes(1024, 768, 5, 28)
    check_same(features(folder), features(tmp_path / "plain.safetensors"))


@pytest.mark.parametrize("said", [{"projection_dim": 768}, {}])
def test_in_a_whole_clips_configuration_the_width_beside_the_towers_counts_where_it_is_said(
    said: dict[str, int], state: State, tmp_path: Path
) -> None:
    tower = small_vit_l().config.to_dict() | ({"projection_dim": 512} if said else {})
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip", "vision_config": tower, **said}))
    save_file(state | TEXT, tmp_path / "model.safetensors")
    assert read_sizes(tmp_path) == EncoderSizes(1024, 768, 5, 28)
    assert features(tmp_path).image_embeds.shape == (1, 768)


def test_several_single_encoders_beside_a_stray_configuration_stay_single_files(state: State, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for name in ("h.safetensors", "g.safetensors"):
        save_file(state, tmp_path / name)
    assert not encoder_parts(tmp_path)


@pytest.mark.parametrize("name", ["../secret.bin", "/etc/secret.bin", "a/../../secret.bin", "..\\secret.bin", 7, None])
def test_an_index_leads_nowhere_but_to_files_beside_it(name: object, tmp_path: Path) -> None:
    folder = tmp_path / "encoder"
    folder.mkdir()
    small_vit_l().config.save_pretrained(folder)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="names a file outside its folder"):
        ImageEncoder.read(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"weight_map": 3}', '{"weight_map": {"a": ["b"]}}', "[" * 100_000])
def test_a_damaged_index_is_one_sentence(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"hidden_size": 1024, "patch_size": 14}')
    (tmp_path / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"index\.json is no index of weights"):
        ImageEncoder.read(tmp_path)


def test_weights_that_are_not_floating_point_are_refused(state: State, tmp_path: Path) -> None:
    save_file({key: tensor.to(torch.int8) for key, tensor in state.items()}, tmp_path / "ints.safetensors")
    with pytest.raises(CheckpointError, match=r"ints\.safetensors is damaged: .* holds torch\.int8"):
        ImageEncoder.read(tmp_path / "ints.safetensors")


def test_weights_of_other_sizes_than_the_configuration_says_are_refused(state: State, tmp_path: Path) -> None:
    small_vit_l().config.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 1280, "num_attention_heads": 16}))
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"contradicts itself: .* should be \[.*1280.*another encoder"):
        ImageEncoder.read(tmp_path)


@pytest.mark.parametrize("wrong", [{"hidden_size": [1]}, {"patch_size": "14"}, {"image_size": 0.5}, {"patch_size": 0}])
def test_sizes_that_are_no_numbers_are_one_sentence(wrong: dict[str, object], state: State, tmp_path: Path) -> None:
    """A list of encoders asks for them, and goes on."""
    small_vit_l().config.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | wrong))
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="is not a CLIP image encoder"):
        read_sizes(tmp_path)


def test_a_configuration_of_a_billion_layers_is_refused_before_one_is_built(state: State, tmp_path: Path) -> None:
    small_vit_l().config.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 10**9}))
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"incomplete: .*layers\.999999999\."):
        ImageEncoder.read(tmp_path)
