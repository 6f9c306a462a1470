"""Several pictures in one unit, and what it is to lead away from."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.model.noise import NoiseKind
from lib_ipadapter.session.prompts import GivenPrompt
from lib_ipadapter.session.unit.field import Type, setting

LAST_ITEM = 799
"""Of the pictures of a job, counted from 0: the WebUI's page makes a hundred batches of eight at most."""


@dataclass(frozen=True)
class References:
    """Further pictures, and how all of them become one prompt."""

    images: tuple[Image.Image, ...] = setting(
        "Further pictures", Type.PICTURES, "More reference pictures; they follow the first.", default=(), rare=True
    )
    combine: str = setting(
        "Combine",
        Type.CHOICE,
        "What several pictures become; `batch`: each is for a picture of the batch of its own. With FaceID files"
        " `concat` leaves it to *Several faces*.",
        default=Combination.CONCAT.value,
        choices=tuple(way.value for way in Combination),
        rare=True,
    )
    weights: str = setting(
        "Weight of each picture",
        Type.WEIGHTS,
        "Numbers from -1 to 3 in the order of the pictures; 1 for each that is not named.",
        default="",
        minimum=-1.0,
        maximum=3.0,
        rare=True,
    )

    batch_start: int = setting(
        "Batch begins with",
        Type.INTEGER,
        "With `batch`: which of the pictures, counted from 0, the first picture of the job gets; after the last comes"
        " the first again. Each picture's own parameters say which it had.",
        default=0,
        maximum=LAST_ITEM,
        step=1,
        rare=True,
        late=True,
    )

    def weight(self, number: int) -> float:
        """The weight of picture `number`, 0 being the first."""
        given = self.weights.split()
        return float(given[number]) if number < len(given) else 1.0


@dataclass(frozen=True)
class Negative:
    """What unconditional rows see in place of nothing."""

    negative_image: Image.Image | None = setting(
        "Negative picture", Type.PICTURE, "A picture to lead away from, as a negative prompt does.", rare=True
    )
    noise: float = setting(
        "Noise",
        Type.NUMBER,
        "Noise in the negative picture; without one the reference, with this much noise, is the negative picture.",
        default=0.0,
        rare=True,
    )
    noise_kind: str = setting(
        "Kind of noise",
        Type.CHOICE,
        "What the noise does to the picture: `shuffle` keeps its palette, the others drown it.",
        default=NoiseKind.FADE.value,
        choices=tuple(kind.value for kind in NoiseKind),
        rare=True,
    )


@dataclass(frozen=True)
class Saved:
    """A picture that was encoded before."""

    embeds: GivenPrompt | None = setting(
        "Saved image prompt",
        Type.EMBEDS,
        "The name of a saved image prompt, which stands for the pictures and needs no encoder; in the API also its"
        " content in base64.",
        rare=True,
    )
