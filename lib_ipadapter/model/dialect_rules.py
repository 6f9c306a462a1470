"""The layouts in which adapters leave their trainers, each as one table that is read both ways.

A rule pairs a published key with the keys that hold the same numbers in another layout. Where there are several, they
are stacked along the first dimension. Marks in braces stand for what the two sides share; ``{place}`` is a layer's name
in diffusers' UNet on their side and its number on ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lib_ipadapter.model.variant import Base, Kind


@dataclass(frozen=True)
class Rule:
    """One line of a table."""

    ours: str
    theirs: tuple[str, ...]
    only: Kind | None = None
    """The projection that it is about, where one name stands for different things in different projections."""


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
HID = "encoder_hid_proj.image_projection_layers.{adapter}."
"""What keys of a projection begin with in diffusers' UNet."""


def _resampler(prefix: str, only: Kind) -> Iterator[Rule]:
    """A Resampler's keys below `prefix` of ours; theirs lie beside the rest of the projection."""
    same = ("proj_in.{part}", "proj_out.{part}", "norm_out.{part}")
    theirs = {
        **{key: (key,) for key in same},
        "layers.{i}.0.norm1.{part}": ("layers.{i}.ln0.{part}",),
        "layers.{i}.0.norm2.{part}": ("layers.{i}.ln1.{part}",),
        "layers.{i}.0.to_q.weight": ("layers.{i}.attn.to_q.weight",),
        "layers.{i}.0.to_kv.weight": ("layers.{i}.attn.to_k.weight", "layers.{i}.attn.to_v.weight"),
        "layers.{i}.0.to_out.weight": ("layers.{i}.attn.to_out.0.weight",),
        "layers.{i}.1.0.{part}": ("layers.{i}.ff.0.{part}",),
        "layers.{i}.1.1.weight": ("layers.{i}.ff.1.net.0.proj.weight",),
        "layers.{i}.1.3.weight": ("layers.{i}.ff.1.net.2.weight",),
    }
    for ours, keys in theirs.items():
        yield Rule(f"image_proj.{prefix}{ours}", tuple(HID + key for key in keys), only)


def _peft() -> Iterator[Rule]:
    """The LoRA of a FaceID file in a UNet, as diffusers hands it to peft."""
    for ours, linear in (("to_q", "to_q"), ("to_k", "to_k"), ("to_v", "to_v"), ("to_out", "to_out.0")):
        for half, side in (("down", "lora_A"), ("up", "lora_B")):
            theirs = "{place}." + f"{linear}.{side}.faceid_" + "{adapter}.weight"
            yield Rule("ip_adapter.{place}." + f"{ours}_lora.{half}.weight", (theirs,))


DIALECTS: dict[str, tuple[Rule, ...]] = {
    "published": (Rule("image_proj.{rest}", ("image_proj.{rest}",)), Rule("ip_adapter.{rest}", ("ip_adapter.{rest}",))),
    "raw": (_RAW_PROJECTION, Rule("ip_adapter.{rest}", ("adapter_modules.{rest}",))),
    "raw-unet": (_RAW_PROJECTION, Rule("ip_adapter.{place}.{rest}", ("unet.{place}.processor.{rest}",))),
    "diffusers": (
        Rule("image_proj.proj.{part}", (HID + "image_embeds.{part}",), Kind.BASE),
        Rule("image_proj.norm.{part}", (HID + "norm.{part}",), Kind.BASE),
        Rule("image_proj.proj.0.{part}", (HID + "ff.net.0.proj.{part}",), Kind.FULL),
        Rule("image_proj.proj.2.{part}", (HID + "ff.net.2.{part}",), Kind.FULL),
        Rule("image_proj.proj.3.{part}", (HID + "norm.{part}",), Kind.FULL),
        Rule("image_proj.proj.0.{part}", (HID + "ff.net.0.proj.{part}",), Kind.FACEID),
        Rule("image_proj.proj.2.{part}", (HID + "ff.net.2.{part}",), Kind.FACEID),
        Rule("image_proj.norm.{part}", (HID + "norm.{part}",), Kind.FACEID),
        Rule("image_proj.proj.0.{part}", (HID + "proj.net.0.proj.{part}",), Kind.FACEID_PLUS),
        Rule("image_proj.proj.2.{part}", (HID + "proj.net.2.{part}",), Kind.FACEID_PLUS),
        Rule("image_proj.norm.{part}", (HID + "norm.{part}",), Kind.FACEID_PLUS),
        *_resampler("perceiver_resampler.", Kind.FACEID_PLUS),
        Rule("image_proj.latents", (HID + "latents",), Kind.PLUS),
        *_resampler("", Kind.PLUS),
        Rule("ip_adapter.{place}.to_k_ip.weight", ("{place}.processor.to_k_ip.{adapter}.weight",)),
        Rule("ip_adapter.{place}.to_v_ip.weight", ("{place}.processor.to_v_ip.{adapter}.weight",)),
        *_peft(),
    ),
}
"""Name -> rules. ``raw`` is the reference trainer's whole state, ``raw-unet`` what is left of it when safetensors has
dropped the names of shared tensors, ``diffusers`` a UNet's state dict with an adapter loaded into it."""


def places(base: Base) -> list[str]:
    """Names of all attention layers, self-attention between cross-attention; the position is the published number."""
    return [
        f"{block}.attentions.{attention}.transformer_blocks.{depth}.attn{which}"
        for block, attentions, depths in BLOCKS[base]
        for attention in range(attentions)
        for depth in range(depths)
        for which in (1, 2)
    ]
