"""Beside what the WebUI itself does to attention: each of its optimisations, and the LoRA of a prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.live.client import Client, difference
from tests.live.models import CHANNELS, TEXT
from tests.live.pictures import MakeUnit
from tests.live.probe_client import Probe

OPTIMISATIONS = [
    "None",
    "sdp - scaled dot product",
    "sdp-no-mem - scaled dot product without memory efficient attention",
    "sub-quadratic",
    "V1 - original v1",
    "InvokeAI",
    "Doggettx",
]


@pytest.mark.parametrize("name", OPTIMISATIONS)
def test_the_picture_acts_through_every_attention_and_leaves_it(
    name: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    """Each computes the same attention, to rounding."""
    usual = client.txt2img([unit()]).picture
    with client.settings(cross_attention_optimization=name):
        plain = client.txt2img().picture
        with probe.recording() as seen:
            made = client.txt2img([unit()]).picture
        again = client.txt2img().picture
    seen.check_roles()
    assert difference(made, usual) <= 1
    assert difference(made, plain) > 1
    assert np.array_equal(again, plain)
    assert probe.hooks() == []


LORA = "live attention"


@pytest.fixture
def lora(client: Client, models_dir: Path) -> str:
    """Changes all four maps of one cross-attention layer; what a prompt says to have it."""
    torch.manual_seed(0)
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2"
    tensors = {}
    for name, width in {"to_q": CHANNELS, "to_k": TEXT, "to_v": TEXT, "to_out_0": CHANNELS}.items():
        tensors[f"{layer}_{name}.lora_down.weight"] = torch.randn(4, width)
        tensors[f"{layer}_{name}.lora_up.weight"] = torch.randn(CHANNELS, 4)
        tensors[f"{layer}_{name}.alpha"] = torch.tensor(4.0)
    (models_dir / "Lora").mkdir(exist_ok=True)
    save_file(tensors, models_dir / "Lora" / f"{LORA}.safetensors")
    client.post("/sdapi/v1/refresh-loras")
    return f" <lora:{LORA}:1>"


def test_a_lora_of_the_prompt_and_the_picture_come_and_go_on_their_own(
    lora: str, client: Client, probe: Probe, unit: MakeUnit
) -> None:
    prompt = "a cat"
    plain, image = client.txt2img().picture, client.txt2img([unit()]).picture
    with_lora = client.txt2img(prompt=prompt + lora).picture
    with probe.recording() as seen:
        both = client.txt2img([unit()], prompt=prompt + lora).picture
    seen.check_roles()
    four = [plain, image, with_lora, both]
    assert all(difference(one, other) > 0 for i, one in enumerate(four) for other in four[:i])
    assert np.array_equal(client.txt2img(prompt=prompt + lora).picture, with_lora)
    assert np.array_equal(client.txt2img([unit()]).picture, image)
    assert np.array_equal(client.txt2img().picture, plain)
    assert probe.hooks() == []
