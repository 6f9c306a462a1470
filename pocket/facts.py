"""What the demo measures, and claims only as far as it is so."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from PIL import Image

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import Feature, Kind
from lib_ipadapter.model.vision import ImageEncoder
from lib_ipadapter.session.unit import Unit
from pocket import ship
from pocket.draw import draw
from pocket.judge import judge
from pocket.questions import HELD_OUT, renamed
from pocket.request import Request, batches, draw_batch
from pocket.scenes import SAID, Scene, sample_scene
from pocket.sheet import Cell
from pocket.studio import KINDS, Studio, unit

ROUNDING = 1e-3
"""Of the latents' spread: what float32 may differ by after all steps."""
TRIALS = 12
SHOWN = Kind.BASE
"""The adapter that the demo draws with: the one that follows the reference's shape best."""
BEST_SCALE = 0.75
"""Where text and image are both followed; `pocket.evaluate` has the whole curve."""


@dataclass(frozen=True)
class Fact:
    """Something measured, and whether it is as it should be."""

    claim: str
    measured: str
    holds: bool


@dataclass(frozen=True)
class Evidence:
    """Everything that was drawn."""

    studio: Studio
    plain: Sequence[Image.Image]
    """Before the first adapter was put in: the first prompt and the seed of all, for each reference."""
    drawn: Mapping[Cell, Image.Image]
    seed: int


def nothing_at_zero(found: Evidence) -> Fact:
    """Scale 0 is no adapter."""
    first = next(iter(found.drawn))[0]
    zeros = [picture for (prompt, _, scale), picture in found.drawn.items() if scale == 0 and prompt == first]
    same = equal(zeros, found.plain)
    return Fact(
        "scale 0 is equal to no adapter, bit for bit", f"{same} of {len(zeros)} pictures", same == len(zeros) > 0
    )


def equal(pictures: Sequence[Image.Image], others: Sequence[Image.Image]) -> int:
    """How many are as the other in their place, to the last bit."""
    return sum(one.tobytes() == other.tobytes() for one, other in zip(pictures, others, strict=True))


def nothing_left(found: Evidence) -> Fact:
    """Removal is complete."""
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in found.studio.pipeline.unet.modules())
    first = next(iter(found.drawn))[0]
    count = len(found.plain)
    same = equal(found.studio.draw_each([first] * count, [found.seed] * count), found.plain) == count
    measured = f"{'equal' if same else 'not equal'}, {hooks} hooks left"
    return Fact("after removal the model is as before, bit for bit", measured, same and hooks == 0)


def agrees_with_diffusers(found: Evidence) -> Fact:
    """The same weights in diffusers' own IP-Adapter."""
    worst: dict[str, float] = {}
    scene = sample_scene(random.Random(HELD_OUT))
    for kind in KINDS:
        own = unit(kind, draw(scene), 0.8)
        ours = found.studio.latents("a star", found.seed, own)
        worst[kind.value] = float((by_diffusers(own, kind, found.seed) - ours).abs().max() / ours.std())
    measured = ", ".join(f"{kind} {difference:.0e}" for kind, difference in worst.items())
    return Fact("equal to diffusers' own IP-Adapter", f"up to {measured} of the spread", max(worst.values()) < ROUNDING)


def by_diffusers(own: Unit, kind: Kind, seed: int) -> torch.Tensor:
    """Latents by diffusers' loader and attention processors, on a pipeline of their own."""
    studio = Studio()
    pipeline: Any = studio.pipeline
    adapter = IPAdapter.read(ship.adapter_path(kind))
    state = {"image_proj": adapter.image_proj.state_dict(), "ip_adapter": adapter.ip_adapter.state_dict()}
    pipeline.unet._load_ip_adapter_weights([state], low_cpu_mem_usage=False)
    pipeline.set_ip_adapter_scale(own.scale)
    encoder, place = ImageEncoder.read(ship.ENCODER), (torch.device("cpu"), torch.float32)
    feature = adapter.variant.feature
    assert own.image is not None
    assert feature is not None
    picture = encoder.encode(own.image, *place).get(feature)
    nothing = torch.zeros_like(picture)
    if feature is Feature.HIDDEN_STATES:
        nothing = encoder.encode_zeros(*place).get(feature)
    return studio.latents("a star", seed, ip_adapter_image_embeds=[torch.cat([nothing, picture])[:, None]])


def image_alone(found: Evidence) -> Fact:
    """Without a text the picture is followed."""
    lot = random.Random(HELD_OUT + 2)
    scenes = [sample_scene(lot, pair_share=0) for _ in range(TRIALS)]
    right: dict[float, int] = {}
    for scale in (0.0, 1.0):
        agree = agreeing(found.studio, [("", scene, scene) for scene in scenes], scale)
        right[scale] = sum(one[name] for one in agree for name in SAID)
    total = 3 * TRIALS
    measured = f"{right[1.0]} of {total} attributes; {right[0.0]} of {total} at scale 0"
    return Fact("no text, scale 1: colour, texture, shape of the reference", measured, right[1.0] >= 0.75 * total)


def text_and_image(found: Evidence) -> Fact:
    """The text's shape in the picture's colours."""
    lot, trials = random.Random(HELD_OUT + 3), 2 * TRIALS
    asked: list[Asked] = []
    for _ in range(trials):
        scene = sample_scene(lot, pair_share=0)
        named = renamed(scene, lot)
        asked.append((f"a {named.things[0].shape}", scene, named))
    right = sum(all(agree[name] for name in SAID) for agree in agreeing(found.studio, asked, BEST_SCALE))
    measured = f"{right} of {trials} pictures"
    return Fact(f"text's shape and image's look, scale {BEST_SCALE:g}", measured, right >= 0.6 * trials)


Asked = tuple[str, Scene, Scene]
"""A prompt, the reference, and what should be seen."""


def agreeing(studio: Studio, asked: Sequence[Asked], scale: float) -> list[dict[str, bool]]:
    """What the judge says of each, drawn a few at once; the noise is numbered."""
    requests = [Request(prompt, seed, SHOWN, picture, scale) for seed, (prompt, picture, _) in enumerate(asked)]
    pictures = chain.from_iterable(draw_batch(studio, batch) for batch in batches(requests))
    return [judge(picture).agrees(scene) for picture, (_, _, scene) in zip(pictures, asked, strict=True)]


FACTS: tuple[Callable[[Evidence], Fact], ...] = (
    nothing_at_zero, nothing_left, agrees_with_diffusers, image_alone, text_and_image
)  # fmt: skip


def measure(found: Evidence) -> Iterator[Fact]:
    """One fact after another."""
    return (fact(found) for fact in FACTS)
