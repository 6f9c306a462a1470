"""What reaches each cross-attention layer of a UNet from given units, read from outside the hooks.

Every image has one token, so that its attention is its value whatever the query is: 1 for the reference picture, 10 for
the composition's, 100 for no picture. What is added before ``to_out[0]`` is therefore the scale times that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from torch import Tensor, nn

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.model.variant import Kind, Variant
from lib_ipadapter.patch.layers import cross_attentions
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.library import KeyValues, Library
from lib_ipadapter.session.unit import Unit
from tests.models import TEXT_WIDTH, tiny_unet, variant
from tests.patch.trees import SD15, SDXL, attn2, narrow_tree, sgm_attention
from tests.session.fake_host import ROLES, FakeHost

OWN, SECOND = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
VALUES = {Unit(image=OWN).image_hash: 1.0, Unit(image=SECOND).image_hash: 10.0}
NOTHING = 100.0

SDXL_LDM = {
    "input_blocks.4.": 0, "input_blocks.5.": 1, "input_blocks.7.": 2, "input_blocks.8.": 3, "middle_block.": 4,
    "output_blocks.0.": 5, "output_blocks.1.": 6, "output_blocks.2.": 7, "output_blocks.3.": 8,
    "output_blocks.4.": 9, "output_blocks.5.": 10,
}  # fmt: skip
SDXL_DIFFUSERS = {
    "down_blocks.1.attentions.0.": 0, "down_blocks.1.attentions.1.": 1, "down_blocks.2.attentions.0.": 2,
    "down_blocks.2.attentions.1.": 3, "mid_block.": 4, "up_blocks.0.attentions.0.": 5,
    "up_blocks.0.attentions.1.": 6, "up_blocks.0.attentions.2.": 7, "up_blocks.1.attentions.0.": 8,
    "up_blocks.1.attentions.1.": 9, "up_blocks.1.attentions.2.": 10,
}  # fmt: skip
SD15_LDM = {
    "input_blocks.1.": 0, "input_blocks.2.": 1, "input_blocks.4.": 2, "input_blocks.5.": 3, "input_blocks.7.": 4,
    "input_blocks.8.": 5, "middle_block.": 6, "output_blocks.3.": 7, "output_blocks.4.": 8, "output_blocks.5.": 9,
    "output_blocks.6.": 10, "output_blocks.7.": 11, "output_blocks.8.": 12, "output_blocks.9.": 13,
    "output_blocks.10.": 14, "output_blocks.11.": 15,
}  # fmt: skip
SD15_DIFFUSERS = {
    "down_blocks.0.attentions.0.": 0, "down_blocks.0.attentions.1.": 1, "down_blocks.1.attentions.0.": 2,
    "down_blocks.1.attentions.1.": 3, "down_blocks.2.attentions.0.": 4, "down_blocks.2.attentions.1.": 5,
    "mid_block.": 6, "up_blocks.1.attentions.0.": 7, "up_blocks.1.attentions.1.": 8, "up_blocks.1.attentions.2.": 9,
    "up_blocks.2.attentions.0.": 10, "up_blocks.2.attentions.1.": 11, "up_blocks.2.attentions.2.": 12,
    "up_blocks.3.attentions.0.": 13, "up_blocks.3.attentions.1.": 14, "up_blocks.3.attentions.2.": 15,
}  # fmt: skip
"""Where a layer's name begins -> its t, the place of its spatial transformer in the order of running."""


def tiny_sdxl() -> UNet2DConditionModel:
    """SDXL's structure, 70 layers, 16 to 32 wide."""
    torch.manual_seed(0)
    return UNet2DConditionModel(
        block_out_channels=(16, 16, 32),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 10),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
        use_linear_projection=True,
    ).eval()


@dataclass(frozen=True)
class Network:
    """A UNet's structure under one naming."""

    make: Callable[[], nn.Module]
    blocks: dict[str, int]
    """Beginning of a layer's name -> t."""
    sdxl: bool

    def t(self, name: str) -> int:
        return next(t for beginning, t in self.blocks.items() if name.startswith(beginning))


NETWORKS = {
    "SD1.5 as ldm": Network(lambda: narrow_tree(SD15), SD15_LDM, False),
    "SD1.5 as diffusers": Network(tiny_unet, SD15_DIFFUSERS, False),
    "SDXL as sgm": Network(lambda: narrow_tree(SDXL, sgm_attention), SDXL_LDM, True),
    "SDXL as diffusers": Network(tiny_sdxl, SDXL_DIFFUSERS, True),
}


class OneToken(Library):
    """Knows one adapter, which needs no file, and whose images are single tokens."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet
        self.asked: list[str] = []

    def variant(self, path: Path, choice: Kind | None = None) -> Variant:
        return variant(Kind.BASE, self.unet)

    def key_values(self, unit: Unit, path: Path, host: Host) -> KeyValues:
        self.asked.append(unit.image_hash)
        rows = torch.tensor([NOTHING, VALUES[unit.image_hash]])[:, None, None]
        return KeyValues(
            tuple(
                KeyValue(torch.zeros(2, 1, layer.width), rows.expand(2, 1, layer.width))
                for layer in cross_attentions(self.unet)
            )
        )


@dataclass
class Watch:
    """One network under generation, and what reaches its layers."""

    folder: Path
    unet: nn.Module
    host: FakeHost = field(init=False)
    library: OneToken = field(init=False)

    def __post_init__(self) -> None:
        (self.folder / "adapters").mkdir(exist_ok=True)
        (self.folder / "adapters" / "one.safetensors").touch()
        self.host, self.library = FakeHost(self.folder, self.unet), OneToken(self.unet)

    def reaching(self, *units: Unit, steps: Sequence[float] = (0.0,)) -> list[dict[str, tuple[float, float]]]:
        """For each step: layer's name -> what its conditional and its unconditional rows got."""
        before: dict[str, Tensor] = {}
        after: dict[str, Tensor] = {}

        def keep(into: dict[str, Tensor], name: str) -> Callable[..., None]:
            return lambda _, args: into.update({name: args[0].double()})

        outs = {name: module.to_out[0] for name, module in attn2(self.unet).items()}  # pyright: ignore
        handles = [out.register_forward_pre_hook(keep(before, name)) for name, out in outs.items()]
        found = []
        with Generation(self.host, units, self.library):
            handles += [out.register_forward_pre_hook(keep(after, name)) for name, out in outs.items()]
            for progress in steps:
                for begin_step in self.host.listeners:
                    begin_step(progress, ROLES)
                self.call()
                found.append({name: _added(before[name], after[name]) for name in outs})
        for handle in handles:
            handle.remove()
        return found

    def call(self) -> None:
        torch.manual_seed(1)
        width = cross_attentions(self.unet)[0].context
        x, context = torch.randn(2, 4, 8, 8), torch.randn(2, 7, width)
        with torch.no_grad():
            if isinstance(self.unet, UNet2DConditionModel):
                self.unet(x, torch.tensor(500), encoder_hidden_states=context)
            else:
                self.unet(x, context=context)


def _added(before: Tensor, after: Tensor) -> tuple[float, float]:
    """Of both rows; everywhere in a row the same, as the values are."""
    rows = (after - before).flatten(1)
    assert (rows.amax(1) - rows.amin(1)).max() < 1e-3
    cond, uncond = rows.mean(1).tolist()
    return cond, uncond


def unit(**values: Any) -> Unit:
    """With the reference picture."""
    return Unit.parse({"image": OWN, "model": "one", "scale": 0.8} | values)
