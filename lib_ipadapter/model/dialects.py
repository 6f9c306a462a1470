"""The layouts in which adapters leave their trainers, each as one table that is read both ways.

A rule pairs a published key with the keys that hold the same numbers in another layout. Where there are several, they
are stacked along the first dimension. Marks in braces stand for what the two sides share; ``{place}`` is a layer's name
in diffusers' UNet on their side and its number on ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.variant import Base


@dataclass(frozen=True)
class Rule:
    """One line of a table."""

    ours: str
    theirs: tuple[str, ...]
    beside: str = ""
    """A key of theirs that must be there too, where one name of theirs stands for several of ours."""


BLOCKS: dict[Base, Sequence[tuple[str, int, int]]] = {
    Base.SD15: (
        *((f"down_blocks.{n}", 2, 1) for n in (0, 1, 2)),
        *((f"up_blocks.{n}", 3, 1) for n in (1, 2, 3)),
        ("mid_block", 1, 1),
    ),
    Base.SDXL: (
        ("down_blocks.1", 2, 2),
        ("down_blocks.2", 2, 10),
        ("up_blocks.0", 3, 10),
        ("up_blocks.1", 3, 2),
        ("mid_block", 1, 10),
    ),
}
"""Block, its attentions, and the transformer blocks in each, in the order of an adapter's numbering."""

_RAW_PROJECTION = Rule("image_proj.{rest}", ("image_proj_model.{rest}",))
_HID = "encoder_hid_proj.image_projection_layers.{adapter}."

DIALECTS: dict[str, tuple[Rule, ...]] = {
    "published": (Rule("image_proj.{rest}", ("image_proj.{rest}",)), Rule("ip_adapter.{rest}", ("ip_adapter.{rest}",))),
    "raw": (_RAW_PROJECTION, Rule("ip_adapter.{rest}", ("adapter_modules.{rest}",))),
    "raw-unet": (_RAW_PROJECTION, Rule("ip_adapter.{place}.{rest}", ("unet.{place}.processor.{rest}",))),
    "diffusers": (
        Rule("image_proj.proj.{part}", (_HID + "image_embeds.{part}",)),
        Rule("image_proj.norm.{part}", (_HID + "norm.{part}",), beside=_HID + "image_embeds.weight"),
        Rule("image_proj.proj.0.{part}", (_HID + "ff.net.0.proj.{part}",)),
        Rule("image_proj.proj.2.{part}", (_HID + "ff.net.2.{part}",)),
        Rule("image_proj.proj.3.{part}", (_HID + "norm.{part}",), beside=_HID + "ff.net.2.weight"),
        Rule("image_proj.latents", (_HID + "latents",)),
        Rule("image_proj.proj_in.{part}", (_HID + "proj_in.{part}",)),
        Rule("image_proj.proj_out.{part}", (_HID + "proj_out.{part}",)),
        Rule("image_proj.norm_out.{part}", (_HID + "norm_out.{part}",)),
        Rule("image_proj.layers.{i}.0.norm1.{part}", (_HID + "layers.{i}.ln0.{part}",)),
        Rule("image_proj.layers.{i}.0.norm2.{part}", (_HID + "layers.{i}.ln1.{part}",)),
        Rule("image_proj.layers.{i}.0.to_q.weight", (_HID + "layers.{i}.attn.to_q.weight",)),
        Rule(
            "image_proj.layers.{i}.0.to_kv.weight",
            (_HID + "layers.{i}.attn.to_k.weight", _HID + "layers.{i}.attn.to_v.weight"),
        ),
        Rule("image_proj.layers.{i}.0.to_out.weight", (_HID + "layers.{i}.attn.to_out.0.weight",)),
        Rule("image_proj.layers.{i}.1.0.{part}", (_HID + "layers.{i}.ff.0.{part}",)),
        Rule("image_proj.layers.{i}.1.1.weight", (_HID + "layers.{i}.ff.1.net.0.proj.weight",)),
        Rule("image_proj.layers.{i}.1.3.weight", (_HID + "layers.{i}.ff.1.net.2.weight",)),
        Rule("ip_adapter.{place}.to_k_ip.weight", ("{place}.processor.to_k_ip.{adapter}.weight",)),
        Rule("ip_adapter.{place}.to_v_ip.weight", ("{place}.processor.to_v_ip.{adapter}.weight",)),
    ),
}
"""Name -> rules. ``raw`` is the reference trainer's whole state, ``raw-unet`` what is left of it when safetensors has
dropped the names of shared tensors, ``diffusers`` a UNet's state dict with an adapter loaded into it."""

MARKS = {"rest": r".+", "part": r"weight|bias", "i": r"\d+", "place": r".+\.attn[12]", "number": r"\d+"}
"""Mark -> what it may stand for."""


@dataclass(frozen=True)
class Dialect:
    """One layout for one family of checkpoints. Places are the names in ``unet.attn_processors``."""

    name: str
    base: Base
    adapter: int = 0
    """Which of several adapters in one UNet; only diffusers' layout numbers them."""

    def read(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `tensors` hold in this layout, under published keys; nothing is checked to be there."""
        found: dict[str, Tensor] = {}
        for rule in self.rules():
            if rule.beside and rule.beside not in tensors:
                continue
            matches = map(_pattern(rule.theirs[0]).fullmatch, tensors)
            for marks in (match.groupdict() for match in matches if match):
                keys = [_fill(their, marks) for their in rule.theirs]
                name = self._numbered(rule.ours, marks)
                if name and all(k in tensors for k in keys):
                    found.setdefault(name, torch.cat([tensors[k] for k in keys]) if keys[1:] else tensors[keys[0]])
        return found

    def write(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`tensors`, under published keys, in this layout. Raises `CheckpointError` for a key that it cannot hold."""
        return dict(pair for key, tensor in tensors.items() for pair in self._named(key, tensor))

    def rules(self) -> Iterator[Rule]:
        """The table with this adapter's number in it."""
        number = str(self.adapter)
        for rule in DIALECTS[self.name]:
            theirs = tuple(their.replace("{adapter}", number) for their in rule.theirs)
            yield Rule(rule.ours, theirs, rule.beside.replace("{adapter}", number))

    def _named(self, key: str, tensor: Tensor) -> Iterator[tuple[str, Tensor]]:
        for rule in self.rules():
            match = _pattern(rule.ours.replace("{place}", "{number}")).fullmatch(key)
            if not match:
                continue
            marks = match.groupdict()
            if "number" in marks:
                marks["place"] = places(self.base)[int(marks["number"])]
            # A part of a larger storage would be written with all of it.
            parts = [part.clone() for part in tensor.chunk(len(rule.theirs))] if rule.theirs[1:] else [tensor]
            yield from zip((_fill(their, marks) for their in rule.theirs), parts, strict=True)
            return
        raise CheckpointError(f"{key} has no name in the layout {self.name!r}; choose another with --to.")

    def _numbered(self, ours: str, marks: Mapping[str, str]) -> str:
        """The published key, or nothing where the place is not one of this family's."""
        if "place" not in marks:
            return _fill(ours, marks)
        order = places(self.base)
        number = order.index(marks["place"]) if marks["place"] in order else -1
        return _fill(ours, {**marks, "place": str(number)}) if number >= 0 else ""


def places(base: Base) -> list[str]:
    """Names of all attention layers, self-attention between cross-attention; the position is the published number."""
    return [
        f"{block}.attentions.{attention}.transformer_blocks.{depth}.attn{which}"
        for block, attentions, depths in BLOCKS[base]
        for attention in range(attentions)
        for depth in range(depths)
        for which in (1, 2)
    ]


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    return re.compile("".join(f"(?P<{p}>{MARKS[p]})" if odd % 2 else re.escape(p) for odd, p in enumerate(parts)))


def _fill(template: str, marks: Mapping[str, str]) -> str:
    return template.format_map(marks)
