"""Adapters in foreign layouts, read and written by the tables of `dialect_rules`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.dialect_rules import DIALECTS, HID, Rule, places
from lib_ipadapter.model.marks import fill, matches
from lib_ipadapter.model.variant import Base, Kind, Shapes


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
    """Shapes of what `joined` gives, by the shapes in the file."""
    return {
        key: (sum(shapes[part][0] for part in parts), *shapes[parts[0]][1:]) if parts[1:] else shapes[parts[0]]
        for key, parts in sources.items()
    }


def _family_of_theirs(shapes: Shapes, adapter: int) -> Kind | None:
    """The projection in a UNet of diffusers. FaceID and full have the same keys, but only full is square inside."""
    hid = HID.replace("{adapter}", str(adapter))
    signs = {"image_embeds.weight": Kind.BASE, "proj.net.0.proj.weight": Kind.FACEID_PLUS, "latents": Kind.PLUS}
    for key, kind in signs.items():
        if hid + key in shapes:
            return kind
    first, last, norm = (shapes.get(f"{hid}{key}.weight", ()) for key in ("ff.net.0.proj", "ff.net.2", "norm"))
    return Kind.FULL if first[:1] == first[1:] and last[:1] == norm else Kind.FACEID


def _family_of_ours(keys: Iterable[str]) -> Kind | None:
    """The projection of an adapter under published keys, where a layout names it by its kind."""
    names = set(keys)
    signs = {
        "image_proj.proj.weight": Kind.BASE,
        "image_proj.perceiver_resampler.proj_in.weight": Kind.FACEID_PLUS,
        "image_proj.latents": Kind.PLUS,
        "image_proj.proj.3.weight": Kind.FULL,
        "image_proj.norm.weight": Kind.FACEID,
    }
    return next((kind for key, kind in signs.items() if key in names), None)
