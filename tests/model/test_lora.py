"""The LoRA of a FaceID file as data: where each part belongs, and the same file from it again."""

from __future__ import annotations

import pytest
import torch

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.dialect_rules import places
from lib_ipadapter.model.lora import MODULES, lora_of, lora_tensors
from lib_ipadapter.model.variant import Base, Kind
from tests.models import tiny_adapter, tiny_unet


def test_every_part_fits_the_map_that_it_is_named_after() -> None:
    unet, lora = tiny_unet(), tiny_adapter(Kind.FACEID).lora
    names = places(Base.SD15)
    assert list(lora) == list(range(len(names)))
    for number, projections in lora.items():
        assert list(projections) == list(MODULES)
        for projection, low_rank in projections.items():
            weight = unet.get_submodule(f"{names[number]}.{MODULES[projection]}").weight
            assert (low_rank.up @ low_rank.down).shape == weight.shape  # pyright: ignore


def test_read_and_written_again_it_is_the_same() -> None:
    lora = tiny_adapter(Kind.FACEID).lora
    tensors = lora_tensors(lora)
    assert len(tensors) == 32 * 4 * 2
    again = lora_tensors(lora_of(dict(reversed(tensors.items()))))
    assert list(again) == list(tensors)
    assert all(again[key] is tensors[key] for key in tensors)


def test_half_a_pair_is_a_sentence() -> None:
    with pytest.raises(CheckpointError, match=r"ip_adapter\.3\.to_q_lora\.up\.weight is missing"):
        lora_of({"ip_adapter.3.to_q_lora.down.weight": torch.ones(2, 4)})
