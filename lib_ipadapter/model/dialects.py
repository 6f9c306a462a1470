"""The layouts in which adapters leave their trainers, each as one table that is read both ways.

A rule pairs a published key with the keys that hold the same numbers in another layout. Where there are several, they
are stacked along the first dimension. Marks in braces stand for what the two sides share; ``{place}`` is a layer's name
in diffusers' UNet on their side and its number on ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.marks import fill, matches
from lib_ipadapter.model.variant import Base, Kind, Shapes


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
_HID = "encoder_hid_proj.image_projection_layers.{adapter}."


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
        yield Rule(f"image_proj.{prefix}{ours}", tuple(_HID + key for key in keys), only)


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
        Rule("image_proj.proj.{part}", (_HID + "image_embeds.{part}",), Kind.BASE),
        Rule("image_proj.norm.{part}", (_HID + "norm.{part}",), Kind.BASE),
        Rule("image_proj.proj.0.{part}", (_HID + "ff.net.0.proj.{part}",), Kind.FULL),
        Rule("image_proj.proj.2.{part}", (_HID + "ff.net.2.{part}",), Kind.FULL),
        Rule("image_proj.proj.3.{part}", (_HID + "norm.{part}",), Kind.FULL),
        Rule("image_proj.proj.0.{part}", (_HID + "ff.net.0.proj.{part}",), Kind.FACEID),
        Rule("image_proj.proj.2.{part}", (_HID + "ff.net.2.{part}",), Kind.FACEID),
        Rule("image_proj.norm.{part}", (_HID + "norm.{part}",), Kind.FACEID),
        Rule("image_proj.proj.0.{part}", (_HID + "proj.net.0.proj.{part}",), Kind.FACEID_PLUS),
        Rule("image_proj.proj.2.{part}", (_HID + "proj.net.2.{part}",), Kind.FACEID_PLUS),
        Rule("image_proj.norm.{part}", (_HID + "norm.{part}",), Kind.FACEID_PLUS),
        *_resampler("perceiver_resampler.", Kind.FACEID_PLUS),
        Rule("image_proj.latents", (_HID + "latents",), Kind.PLUS),
        *_resampler("", Kind.PLUS),
        Rule("ip_adapter.{place}.to_k_ip.weight", ("{place}.processor.to_k_ip.{adapter}.weight",)),
        Rule("ip_adapter.{place}.to_v_ip.weight", ("{place}.processor.to_v_ip.{adapter}.weight",)),
        *_peft(),
    ),
}
"""Name -> rules. ``raw`` is the reference trainer's whole state, ``raw-unet`` what is left of it when safetensors has
dropped the names of shared tensors, ``diffusers`` a UNet's state dict with an adapter loaded into it."""


@dataclass(frozen=True)
class Dialect:
    """One layout for one family of checkpoints. Places are the names in ``unet.attn_processors``."""

    name: str
    base: Base
    adapter: int = 0
    """Which of several adapters in one UNet; only diffusers' layout numbers them."""

    def sources(self, shapes: Shapes) -> dict[str, tuple[str, ...]]:
        """Published key -> keys in this layout whose tensors it is made of; nothing is checked to be there."""
        found: dict[str, tuple[str, ...]] = {}
        for rule in self.rules(_family_of_theirs(shapes, self.adapter)):
            for marks in matches(rule.theirs[0], shapes):
                keys = tuple(fill(their, marks) for their in rule.theirs)
                name = self._numbered(rule.ours, marks)
                if name and all(key in shapes for key in keys):
                    found.setdefault(name, keys)
        return found

    def read(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What `tensors` hold in this layout, under published keys; nothing is checked to be there."""
        return joined(self.sources({key: tuple(t.shape) for key, t in tensors.items()}), tensors)

    def write(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """`tensors`, under published keys, in this layout. Raises `CheckpointError` for a key that it cannot hold."""
        family = _family_of_ours(tensors)
        return dict(pair for key, tensor in tensors.items() for pair in self._named(key, tensor, family))

    def rules(self, family: Kind | None) -> Iterator[Rule]:
        """Those of the table that hold for this projection, with this adapter's number in them."""
        for rule in DIALECTS[self.name]:
            if rule.only in (None, family):
                theirs = tuple(their.replace("{adapter}", str(self.adapter)) for their in rule.theirs)
                yield Rule(rule.ours, theirs, rule.only)

    def _named(self, key: str, tensor: Tensor, family: Kind | None) -> Iterator[tuple[str, Tensor]]:
        for rule in self.rules(family):
            found = matches(rule.ours.replace("{place}", "{number}"), [key])
            if not found:
                continue
            marks = found[0]
            if "number" in marks:
                marks["place"] = places(self.base)[int(marks["number"])]
            # A part of a larger storage would be written with all of it.
            parts = [part.clone() for part in tensor.chunk(len(rule.theirs))] if rule.theirs[1:] else [tensor]
            yield from zip((fill(their, marks) for their in rule.theirs), parts, strict=True)
            return
        raise CheckpointError(f"{key} has no name in the layout {self.name!r}; choose another with --to.")

    def _numbered(self, ours: str, marks: Mapping[str, str]) -> str:
        """The published key, or nothing where the place is not one of this family's."""
        if "place" not in marks:
            return fill(ours, marks)
        order = places(self.base)
        number = order.index(marks["place"]) if marks["place"] in order else -1
        return fill(ours, {**marks, "place": str(number)}) if number >= 0 else ""


def joined(sources: Mapping[str, tuple[str, ...]], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors that `Dialect.sources` has found, under published keys."""
    return {
        key: torch.cat([tensors[part] for part in parts]) if parts[1:] else tensors[parts[0]]
        for key, parts in sources.items()
    }


def joined_shapes(sources: Mapping[str, tuple[str, ...]], shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Their shapes."""
    return {
        key: (sum(shapes[part][0] for part in parts), *shapes[parts[0]][1:]) if parts[1:] else shapes[parts[0]]
        for key, parts in sources.items()
    }


def _family_of_theirs(shapes: Shapes, adapter: int) -> Kind | None:
    """The projection in a UNet of diffusers. FaceID and full have the same keys, but only full is square inside."""
    hid = _HID.replace("{adapter}", str(adapter))
    signs = {"image_embeds.weight": Kind.BASE, "proj.net.0.proj.weight": Kind.FACEID_PLUS, "latents": Kind.PLUS}
    for key, kind in signs.items():
        if hid + key in shapes:
            return kind
    first, last, norm = (shapes.get(f"{hid}{key}.weight", ()) for key in ("ff.net.0.proj", "ff.net.2", "norm"))
    return Kind.FULL if first[:1] == first[1:] and last[:1] == norm else Kind.FACEID


def _family_of_ours(keys: Iterable[str]) -> Kind | None:
    """The same by published keys."""
    names = set(keys)
    signs = {
        "image_proj.proj.weight": Kind.BASE,
        "image_proj.perceiver_resampler.proj_in.weight": Kind.FACEID_PLUS,
        "image_proj.latents": Kind.PLUS,
        "image_proj.proj.3.weight": Kind.FULL,
        "image_proj.norm.weight": Kind.FACEID,
    }
    return next((kind for key, kind in signs.items() if key in names), None)


def places(base: Base) -> list[str]:
    """Names of all attention layers, self-attention between cross-attention; the position is the published number."""
    return [
        f"{block}.attentions.{attention}.transformer_blocks.{depth}.attn{which}"
        for block, attentions, depths in BLOCKS[base]
        for attention in range(attentions)
        for depth in range(depths)
        for which in (1, 2)
    ]
