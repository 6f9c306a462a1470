"""The loss: Stable Diffusion's own, with the picture as one more condition (paper, equation 6)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.session.files import printable
from lib_ipadapter.training.cache import Cache, stacked
from lib_ipadapter.training.check import Example
from lib_ipadapter.training.config import Weighting
from lib_ipadapter.training.frozen import Frozen, Item
from lib_ipadapter.training.inject import Injection
from lib_ipadapter.training.stream import Draw, Drop, Stream

LEAST_SIGNAL = 2.0**-24
"""Signal to noise ratio that pure noise is taken to have."""
GAMMA = 5.0
"""Signal to noise ratio from which on rows count less."""


@dataclass(frozen=True)
class Batch:
    """Rows on the device."""

    draws: Sequence[Draw]
    given: Item
    """Conditions: ``text``, ``features``, and for SDXL ``pooled`` and ``size``."""
    latents: Tensor
    """Noised, ``[rows, 4, h, w]``."""
    target: Tensor
    """What the UNet should answer, ``[rows, 4, h, w]``."""
    timesteps: Tensor
    alphas: Tensor
    """Cumulated, of each row's timestep, ``[rows]``."""


@dataclass(frozen=True)
class Batches:
    """Makes batches out of a cache."""

    examples: Sequence[Example]
    cache: Cache
    stream: Stream
    frozen: Frozen

    def make(self, draws: Sequence[Draw]) -> Batch:
        """The rows that `draws` say."""
        device, frozen = self.frozen.device, self.frozen
        given = stacked(self.cache.rows(map(self._row, draws)), device)
        mean, deviation = given.pop("moments").float().chunk(2, dim=1)
        own, noise = (n.to(device) for n in self.stream.noise([d.number for d in draws], mean.shape[1:]))
        timesteps = torch.tensor([draw.timestep for draw in draws])
        alphas = frozen.alphas[timesteps].to(device)
        shares = alphas[:, None, None, None]
        clean = mean + deviation * own
        return Batch(
            draws=draws,
            given=given,
            latents=noised(clean, noise, shares),
            target=target(frozen.prediction, clean, noise, shares),
            timesteps=timesteps.to(device),
            alphas=alphas,
        )

    def at(self, numbers: Sequence[int]) -> Batch:
        """The rows of these numbers in the stream."""
        return self.make([self.stream.draw(number) for number in numbers])

    def names(self, draws: Sequence[Draw]) -> list[str]:
        """Of the entries in these rows, for messages."""
        return [printable(self.examples[draw.example].entry.name) for draw in draws]

    def _row(self, draw: Draw) -> tuple[Example, bool, bool]:
        text, image = draw.drop not in (Drop.TEXT, Drop.BOTH), draw.drop not in (Drop.IMAGE, Drop.BOTH)
        return self.examples[draw.example], text, image


def losses(
    frozen: Frozen, injection: Injection, conditioner: Callable[[Tensor], Sequence[KeyValue]], batch: Batch
) -> Tensor:
    """Mean squared error of each row, ``[rows]``, in float32. `conditioner`: features to every layer's K and V."""
    injection.set(conditioner(batch.given["features"].float()))
    answer = frozen.predict(batch.latents, batch.timesteps, batch.given)
    return (answer - batch.target).square().mean(dim=(1, 2, 3))


def row_weights(weighting: Weighting, prediction: str, alphas: Tensor) -> Tensor:
    """What each row counts, of the shape of the cumulated `alphas`.

    ``min-snr``: Hang et al. 2023, section 3.4, gamma 5. ``early``: below a signal to noise ratio of 1 its inverse
    square root besides; composition and colour are decided there, by differences that are small in the loss.
    """
    if weighting is Weighting.NONE:
        return torch.ones_like(alphas)
    # Zero terminal SNR ends at an alpha of 0, where an error of the noise is nothing and one of the velocity all.
    signal = (alphas / (1 - alphas)).clamp(min=LEAST_SIGNAL)
    weights = signal.clamp(max=GAMMA) / signal
    if weighting is Weighting.EARLY:
        weights = torch.where(signal < 1, signal**-0.5, weights)
    # An error of the velocity is 1 / alpha as large.
    return weights if prediction == "epsilon" else weights * signal / (1 + signal)


def noised(clean: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """The forward process: ``sqrt(a) x + sqrt(1 - a) noise``, a the cumulated alphas."""
    return alphas.sqrt() * clean + (1 - alphas).sqrt() * noise


def target(prediction: str, clean: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """The noise, or the velocity ``sqrt(a) noise - sqrt(1 - a) x`` (Salimans and Ho 2022, appendix D)."""
    return noise if prediction == "epsilon" else alphas.sqrt() * noise - (1 - alphas).sqrt() * clean
