"""How the WebUI 1.10.1 divides a denoiser step into UNet calls, from the facts of its sd_samplers_cfg_denoiser.py.

Every row carries the truth about itself in its latent, so that what it is handed can be compared with what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lib_ipadapter.patch.moment import Role
from lib_ipadapter.patch.rows import StepRows

BeginStep = Callable[[float, Sequence[Role], Sequence[int], Tensor], None]


@dataclass(frozen=True)
class Prompt:
    """What is conditioned on. Lengths are those of the text, in tokens."""

    conds_per_image: tuple[int, ...] = (1,)
    """More than one where the prompt has an AND."""
    cond_tokens: int = 77
    uncond_tokens: int = 77
    edit: bool = False
    """InstructPix2Pix: a third chunk, without the text and without the picture's latents."""


@dataclass(frozen=True)
class Options:
    """The settings that change the layout of calls."""

    batch_cond_uncond: bool = True
    skip_uncond: Callable[[int], bool] = lambda _: False
    """NGMS, "skip early CFG": whether the unconditional rows are dropped in this step."""
    tiles: tuple[int, int] = (1, 1)
    """UNet calls per call, and pictures per row in each of them."""
    again: int = 0
    """How often an extension asks the model for all rows once more (Perturbed-Attention Guidance)."""
    negative_again: int = 0
    """How often one asks for the unconditional rows once more (Self-Attention Guidance)."""
    same_texts: bool = False
    """Whether prompt and negative prompt are the same."""
    window: int = 0
    """Of how many pictures an extension makes each UNet call, with all rows of these (AnimateDiff's context)."""


class Denoiser:
    """A sampler's view of the UNet: one call, one denoiser step."""

    def __init__(self, unet: nn.Module, begin_step: BeginStep, *, total_steps: int, options: Options | None = None):
        self.unet = unet
        self.begin_step = begin_step
        self.total_steps = total_steps
        self.options = options or Options()
        self.step = 0
        self.announced = StepRows()
        self.first = 0

    def __call__(self, prompt: Prompt, size: tuple[int, int] = (2, 2)) -> None:
        batch = len(prompt.conds_per_image)
        cond = rows(Role.CONDITIONAL, sum(prompt.conds_per_image), size)
        uncond = rows(Role.UNCONDITIONAL, batch * (2 if prompt.edit else 1), size)
        self.announced = StepRows(roles(len(cond), len(uncond)), [self.first + item for item in items(prompt)])
        skip = self.options.skip_uncond(self.step) and not prompt.edit
        if skip or prompt.cond_tokens == prompt.uncond_tokens:
            everything = cond if skip else torch.cat([cond, uncond])
            self.call_in_slices(everything, len(everything) if self.options.batch_cond_uncond else batch, prompt)
        else:
            self.call_in_slices(cond, batch * 2 if self.options.batch_cond_uncond else batch, prompt)
            self.call_model(uncond, prompt.uncond_tokens)
        for _ in range(self.options.again):
            self.call_model(torch.cat([cond, uncond]), prompt.cond_tokens)
        for _ in range(self.options.negative_again):
            self.call_model(uncond, prompt.uncond_tokens)
        self.step += 1

    def call_in_slices(self, latents: Tensor, size: int, prompt: Prompt) -> None:
        for part in latents.split(size):
            self.call_model(part, prompt.cond_tokens)

    def call_model(self, latents: Tensor, tokens: int) -> None:
        """One call of the model that wraps the UNet; the host announces its rows, and tiles repeat them."""
        texts = latents[:, :1, 0, :1].expand(-1, tokens, 3) * (not self.options.same_texts)
        rows = self.announced.take(len(latents), lambda: not latents.any())
        self.begin_step(self.step / self.total_steps, *rows, texts)
        calls, pictures = self.options.tiles
        for part in self.windows(len(latents)):
            for _ in range(calls):
                self.call_unet(latents[part].repeat(pictures, 1, 1, 1), texts[part].repeat(pictures, 1, 1))

    def windows(self, rows: int) -> Iterator[list[int]]:
        """Rows of each UNet call: all of them, or those of a few pictures, first the one half and then the other."""
        if not self.options.window:
            yield [*range(rows)]
            return
        halves = 2 if self.options.batch_cond_uncond else 1
        pictures = rows // halves
        for first in range(0, pictures, self.options.window):
            window = [*range(first, min(first + self.options.window, pictures))]
            yield [half * pictures + picture for half in range(halves) for picture in window]

    def call_unet(self, latents: Tensor, texts: Tensor) -> None:
        self.unet(latents, timesteps=torch.zeros(len(latents)), context=texts)


def roles(cond: int, uncond: int) -> list[Role]:
    """As the host announces them: from the number of conditional texts, and the rest."""
    return [Role.CONDITIONAL] * cond + [Role.UNCONDITIONAL] * uncond


def items(prompt: Prompt) -> list[int]:
    """Which picture each row is of: those of one picture's AND side by side, then one for each, twice where edited."""
    own = [picture for picture, count in enumerate(prompt.conds_per_image) for _ in range(count)]
    return own + list(range(len(prompt.conds_per_image))) * (2 if prompt.edit else 1)


def rows(role: Role, count: int, size: tuple[int, int]) -> Tensor:
    """Latents that say in every number which role they have."""
    return torch.full((count, 4, *size), float(role))
