"""The numbering of published adapters, for UNets in diffusers' and in ldm's naming."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import nn

from lib_ipadapter.errors import HostError
from lib_ipadapter.model.detection import detect
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.patch.layers import check_fits, cross_attentions, why_not
from tests.models import tiny_unet
from tests.patch.trees import SD15, SDXL, LdmTree, Structure, narrow_tree
from tests.recorded import recorded

Place = tuple[int, str, str, int, int]
"""Number in the file, diffusers' and ldm's name, width, position of its transformer in run order."""

SD15_TABLE: list[Place] = [
    (1, "down_blocks.0.attentions.0", "input_blocks.1", 320, 0),
    (3, "down_blocks.0.attentions.1", "input_blocks.2", 320, 1),
    (5, "down_blocks.1.attentions.0", "input_blocks.4", 640, 2),
    (7, "down_blocks.1.attentions.1", "input_blocks.5", 640, 3),
    (9, "down_blocks.2.attentions.0", "input_blocks.7", 1280, 4),
    (11, "down_blocks.2.attentions.1", "input_blocks.8", 1280, 5),
    (13, "up_blocks.1.attentions.0", "output_blocks.3", 1280, 7),
    (15, "up_blocks.1.attentions.1", "output_blocks.4", 1280, 8),
    (17, "up_blocks.1.attentions.2", "output_blocks.5", 1280, 9),
    (19, "up_blocks.2.attentions.0", "output_blocks.6", 640, 10),
    (21, "up_blocks.2.attentions.1", "output_blocks.7", 640, 11),
    (23, "up_blocks.2.attentions.2", "output_blocks.8", 640, 12),
    (25, "up_blocks.3.attentions.0", "output_blocks.9", 320, 13),
    (27, "up_blocks.3.attentions.1", "output_blocks.10", 320, 14),
    (29, "up_blocks.3.attentions.2", "output_blocks.11", 320, 15),
    (31, "mid_block.attentions.0", "middle_block", 1280, 6),
]
SDXL_TABLE: list[Place] = [
    (1, "down_blocks.1.attentions.0", "input_blocks.4", 640, 0),
    (5, "down_blocks.1.attentions.1", "input_blocks.5", 640, 1),
    (9, "down_blocks.2.attentions.0", "input_blocks.7", 1280, 2),
    (29, "down_blocks.2.attentions.1", "input_blocks.8", 1280, 3),
    (49, "up_blocks.0.attentions.0", "output_blocks.0", 1280, 5),
    (69, "up_blocks.0.attentions.1", "output_blocks.1", 1280, 6),
    (89, "up_blocks.0.attentions.2", "output_blocks.2", 1280, 7),
    (109, "up_blocks.1.attentions.0", "output_blocks.3", 640, 8),
    (113, "up_blocks.1.attentions.1", "output_blocks.4", 640, 9),
    (117, "up_blocks.1.attentions.2", "output_blocks.5", 640, 10),
    (121, "mid_block.attentions.0", "middle_block", 1280, 4),
]
DEPTHS = {"sd15": {320: 1, 640: 1, 1280: 1}, "sdxl": {640: 2, 1280: 10}}
"""Width -> transformer blocks in one transformer."""
TABLES = {"sd15": SD15_TABLE, "sdxl": SDXL_TABLE}
STRUCTURES = {"sd15": SD15, "sdxl": SDXL}

SDXL_CONFIG = {
    "block_out_channels": (320, 640, 1280),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
CONFIGS = {"sd15": {"cross_attention_dim": 768}, "sdxl": SDXL_CONFIG}


@cache
def published(base: str, naming: str) -> nn.Module:
    """The full-size UNet, without memory for its weights."""
    with torch.device("meta"):
        return UNet2DConditionModel(**CONFIGS[base]) if naming == "diffusers" else LdmTree(STRUCTURES[base])


def expected(base: str, naming: str) -> list[tuple[int, str, int, int]]:
    """Number, module name, width and its transformer's position in run order, of every layer in the table."""
    rows = []
    for number, diffusers, ldm, width, position in TABLES[base]:
        home = diffusers if naming == "diffusers" else f"{ldm}.1"
        for i in range(DEPTHS[base][width]):
            rows.append((number + 2 * i, f"{home}.transformer_blocks.{i}.attn2", width, position))
    return rows


@pytest.mark.parametrize("base", TABLES)
@pytest.mark.parametrize("naming", ["diffusers", "ldm"])
def test_layers_are_numbered_as_in_the_published_files(base: str, naming: str) -> None:
    layers = cross_attentions(published(base, naming))
    table = [(number, name, width) for number, name, width, _ in expected(base, naming)]
    assert [(2 * layer.index + 1, layer.name, layer.width) for layer in layers] == table
    assert [layer.index for layer in layers] == list(range(len(layers)))
    assert {layer.context for layer in layers} == {CONFIGS[base]["cross_attention_dim"]}


@pytest.mark.parametrize("base", TABLES)
@pytest.mark.parametrize("naming", ["diffusers", "ldm"])
def test_run_order_is_that_of_the_transformers(base: str, naming: str) -> None:
    layers = sorted(cross_attentions(published(base, naming)), key=lambda layer: layer.run_index)
    table = sorted(expected(base, naming), key=lambda row: (row[3], row[0]))
    assert [layer.name for layer in layers] == [name for _, name, _, _ in table]
    assert [layer.run_index for layer in layers] == list(range(len(table)))


@pytest.mark.parametrize("structure", [SD15, SDXL])
def test_run_order_is_the_order_in_which_layers_really_run(structure: Structure) -> None:
    unet, ran = narrow_tree(structure), []
    layers = cross_attentions(unet)
    for layer in layers:
        layer.to_q.register_forward_hook(lambda _, __, ___, layer=layer: ran.append(layer.run_index))
    unet(torch.zeros(1, 4, 2, 2), context=torch.zeros(1, 3, 12))
    assert ran == list(range(len(layers)))


@pytest.mark.parametrize("naming", ["diffusers", "ldm"])
def test_hooked_are_the_query_map_and_the_first_part_of_the_output(naming: str) -> None:
    unet = published("sd15", naming)
    for layer in cross_attentions(unet):
        module = unet.get_submodule(layer.name)
        assert (layer.to_q, layer.to_out, layer.heads) == (module.to_q, module.to_out[0], module.heads)


def adapter(name: str) -> Variant:
    return detect(recorded(name))


FITS = {
    ("ip-adapter_sd15", "sd15"): "",
    ("ip-adapter-plus_sd15", "sd15"): "",
    ("ip-adapter_sdxl_vit-h", "sdxl"): "",
    ("ip-adapter_sdxl_vit-h", "sd15"): "it is for SDXL, the checkpoint is SD1.5",
    ("ip-adapter_sd15", "sdxl"): "it is for SD1.5, the checkpoint is SDXL",
}


@pytest.mark.parametrize("naming", ["diffusers", "ldm"])
@pytest.mark.parametrize(("name", "base"), FITS)
def test_an_adapter_fits_its_own_family_only_and_says_why_not(name: str, base: str, naming: str) -> None:
    reason = why_not(adapter(name), cross_attentions(published(base, naming)))
    assert reason == FITS[name, base]


def test_a_checkpoint_with_wider_text_is_told_apart() -> None:
    with torch.device("meta"):
        sd2 = UNet2DConditionModel(cross_attention_dim=1024)
    with pytest.raises(HostError, match=r"^ip\.bin does not fit .*: .* 768 wide, .* 1024 wide; choose another"):
        check_fits(adapter("ip-adapter_sd15"), cross_attentions(sd2), "ip.bin")


def test_a_checkpoint_of_other_widths_or_of_another_depth_is_told_apart() -> None:
    narrow = cross_attentions(narrow_tree(SD15.narrow(16, 768)))
    assert "widths" in why_not(adapter("ip-adapter_sd15"), cross_attentions(LdmTree(SD15.narrow(16, 768))))
    assert "the checkpoint has 15 layers" in why_not(adapter("ip-adapter_sd15"), narrow[:15])


def test_sdxls_refiner_is_called_by_its_name() -> None:
    sides = {"inputs": dict.fromkeys((4, 5, 7, 8), (16, 4)), "outputs": dict.fromkeys(range(3, 9), (16, 4))}
    refiner = cross_attentions(narrow_tree(Structure(**sides, middle=(16, 4), context=1280)))
    reason = why_not(adapter("ip-adapter_sdxl_vit-h"), refiner)
    assert reason == "it is for SDXL, the checkpoint is SDXL's refiner"


@pytest.mark.parametrize("unet", [nn.Linear(2, 2), nn.ModuleDict({"odd": tiny_unet().mid_block.attentions[0]})])
def test_a_unet_without_layers_in_known_places_is_one_sentence(unet: nn.Module) -> None:
    with pytest.raises(HostError, match="no cross-attention layers that IP-Adapter knows"):
        cross_attentions(unet)


def test_other_modules_of_that_name_in_the_unet_are_left_alone() -> None:
    """An extension may hang networks of its own on the UNet."""
    unet = narrow_tree()
    names = [layer.name for layer in cross_attentions(unet)]
    unet.guest = narrow_tree().middle_block[1].transformer_blocks[0]
    assert [layer.name for layer in cross_attentions(unet)] == names


def test_a_lora_of_the_whole_layer_does_not_hide_its_width() -> None:
    unet = narrow_tree()
    widths = [layer.width for layer in cross_attentions(unet)]
    for layer in cross_attentions(unet):
        module = unet.get_submodule(layer.name)
        wrapped = nn.Module()
        wrapped.base_layer = module.to_k
        module.to_k = wrapped
    assert [layer.width for layer in cross_attentions(unet)] == widths
