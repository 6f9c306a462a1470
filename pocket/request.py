"""A picture that a measurement asks for, by everything that it depends on, and how such pictures are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lib_ipadapter.maths.weight_types import WeightType
from lib_ipadapter.model.variant import Kind
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.session.unit.where import Side
from pocket import ship
from pocket.draw import draw
from pocket.scenes import SIZE, Scene
from pocket.studio import STEPS, Studio, unit_of_each

ROOT = Path(__file__).parents[1]
ROOMS = ("maths", "model", "patch", "session", "hosts")
"""Of the package, by which pictures are made; nobody's panel changes what a judge sees."""
CODE = (
    *(path for room in ROOMS for path in sorted((ROOT / "lib_ipadapter" / room).rglob("*.py"))),
    *(ROOT / "pocket" / f"{name}.py" for name in ("draw", "request", "scenes", "studio")),
    *sorted(path for path in ship.TOKENIZER.iterdir() if path.suffix in (".json", ".txt")),
    ship.CHECKPOINT.with_suffix(".yaml"),
    ship.ENCODER / "config.json",
)
"""What makes pictures besides weights: after a change of these all are drawn anew."""
Options = tuple[tuple[str, Any], ...]
BATCH = 4
"""Pictures that are drawn together: four take half of the time that they take one by one, and more gain nothing."""


@dataclass(frozen=True)
class Request:
    """One picture, without what anybody looks for in it."""

    prompt: str
    seed: int
    kind: Kind | None = None
    """The adapter; none for a picture by the prompt alone."""
    reference: Scene | None = None
    scale: float = 1.0
    options: Options = ()
    """What its unit has besides."""
    composition: Scene | None = None
    """Of the weight types that take two pictures."""
    left_half: bool = False
    """Whether the reference acts in the left half alone."""
    right: Scene | None = None
    """A second unit's reference, which acts in the right half alone."""
    steps: int = STEPS

    def __post_init__(self) -> None:
        if (self.kind is None) != (self.reference is None) or (self.right and not self.left_half):
            raise ValueError(f"An adapter has a reference, and a right half a left one; this is {self}.")

    @property
    def common(self) -> tuple[object, ...]:
        """What all pictures that are drawn at once have; a composition's picture is one for all, and the precise types
        have one picture in all."""
        alone = WeightType(dict(self.options).get("weight_type", WeightType.LINEAR)).precise
        own = replace(self, prompt="", seed=0, kind=None, reference=None, right=None)
        return own, self.kind, self.right is None, alone and self

    @property
    def files(self) -> list[Path]:
        """By what is in these it is drawn."""
        own = [ship.adapter_path(self.kind), ship.ENCODER / "model.safetensors"] if self.kind else []
        return [ship.CHECKPOINT, *CODE, *own]


def batches(requests: Iterable[Request]) -> list[list[Request]]:
    """Those that are drawn at once, at most `BATCH`."""
    found: dict[object, list[Request]] = {}
    for request in requests:
        found.setdefault(request.common, []).append(request)
    return [own[start : start + BATCH] for own in found.values() for start in range(0, len(own), BATCH)]


def draw_batch(studio: Studio, batch: Sequence[Request]) -> list[Image.Image]:
    """One of `batches`."""
    prompts, seeds = ([getattr(one, name) for one in batch] for name in ("prompt", "seed"))
    return studio.draw_each(prompts, seeds, *units(batch), num_inference_steps=batch[0].steps)


def units(batch: Sequence[Request]) -> list[Unit]:
    """What a user would set; each shows to each picture its own reference."""
    first, references = batch[0], [draw(one.reference) for one in batch if one.reference]
    if first.kind is None:
        return []
    second = {"composition_image": draw(first.composition)} if first.composition else {}
    own = replace(unit_of_each(first.kind, references, first.scale), **dict(first.options), **second)
    if not first.left_half:
        return [own]
    own = replace(own, mask=left_half())
    others = [draw(one.right) for one in batch if one.right]
    if not others:
        return [own]
    other = unit_of_each(first.kind, others, first.scale)
    return [own, replace(other, mask=left_half(), region=Side.OUTSIDE.value)]


def left_half() -> Image.Image:
    """White on the left."""
    mask = Image.new("L", (SIZE, SIZE), 0)
    mask.paste(255, (0, 0, SIZE // 2, SIZE))
    return mask
