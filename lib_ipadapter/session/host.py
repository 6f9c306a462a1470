"""What the session needs of the program around it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from PIL import Image
from torch import Tensor, nn

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.maths.masks import WHOLE, Box, Size
from lib_ipadapter.patch.moment import Role
from lib_ipadapter.session.disk import DiskCache


class BeginStep(Protocol):
    """Called before the UNet calls that these rows, or all their tiles, go through."""

    def __call__(
        self, progress: float, roles: Sequence[Role], items: Sequence[int] = (), texts: Tensor | None = None
    ) -> None:
        """`items` says of each row which picture of the job it is of, counted over all its batches; `texts` what its
        text attention attends to, ``[rows, tokens, width]``, where the host knows that.
        """
        ...


@dataclass(frozen=True)
class Canvas:
    """What is being sampled, as a part of the whole picture: that of txt2img's first pass, or img2img's source."""

    box: Box = WHOLE
    """The part that is sampled; it reaches beyond the whole where the host adds a border."""
    latent_size: Size | None = None
    """Height and width of its latent picture, where they are known before the UNet is called."""
    inpaint_mask: Image.Image | None = None
    """Greyscale: white is what the host will change. None without inpainting."""
    inpaint_box: Box = WHOLE
    """The part of `inpaint_mask` that is sampled. A detailer's mask lies over the picture that it works on alone."""


class Host(Protocol):
    """The only way by which floors 0 to 3 touch a host."""

    device: torch.device
    """Where encoder and projection compute."""
    dtype: torch.dtype
    """In which the encoder computes."""

    def unet(self) -> nn.Module:
        """The UNet that is live now; another one after a checkpoint switch."""
        ...

    def follow(self, begin_step: BeginStep) -> AbstractContextManager[None]:
        """While entered, `begin_step` is called at each denoiser step."""
        ...

    def canvas(self) -> Canvas:
        """What the sampling that now begins makes of the whole picture."""
        ...

    def adapter_folders(self) -> Sequence[Path]:
        """Where adapters are searched; the first is where a user should put them."""
        ...

    def encoder_folders(self) -> Sequence[Path]:
        """Where image encoders are searched; the first is where a user should put them."""
        ...

    def feature_cache(self) -> DiskCache | None:
        """Where encoded pictures are kept beyond this process; None where they are not."""
        ...

    def full_precision(self) -> AbstractContextManager[object]:
        """While entered, modules compute in the dtype of their weights, whatever the host casts to elsewhere."""
        ...

    def fail(self, error: IPAdapterError) -> None:
        """Told of what goes wrong in the middle of sampling; raises, unless the user wants a plain picture then."""
        ...

    def notice(self, sentence: str) -> None:
        """Shows the user a sentence about a picture that is made all the same."""
        ...

    def remark(self, sentence: str) -> None:
        """Shows, once a job, what a user has set to no effect: nothing failed."""
        ...
