"""Where a unit acts: a mask over the whole picture, as each layer sees it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field

from torch import Tensor

from lib_ipadapter.errors import HostError
from lib_ipadapter.maths.masks import WHOLE, Box, Size, level_of, token_mask
from lib_ipadapter.maths.shapes import Float


@dataclass(frozen=True)
class Region:
    """Computed for a layer's size when that is first met in a sampling, not at every step."""

    mask: Float[Tensor, "height width"]
    """0 to 1, over the whole picture, of any size."""
    box: Box = WHOLE
    """The part of the whole picture that is being sampled."""
    latent_size: Size | None = None
    """Height and width of that part's latent picture, where the host knows it."""
    _known: dict[Hashable, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def over(self, latent_size: Size, like: Float[Tensor, "rows queries width"]) -> Float[Tensor, "queries 1"]:
        """How strongly the unit acts on each query of a layer, on the device and in the dtype of `like`."""
        tokens = like.shape[1]
        key = (latent_size, tokens, like.device, like.dtype)
        if key not in self._known:
            cells = self._on(latent_size)
            found = cells.flatten() if cells.numel() == tokens else token_mask(cells, latent_size, tokens)
            self._known[key] = found[:, None].to(like)
        return self._known[key]

    def _on(self, latent_size: Size) -> Tensor:
        """On the cells of the latent picture, of which those of every level are made: the mask itself may be large."""
        if latent_size not in self._known:
            height, width = latent_size
            found = token_mask(self.mask, latent_size, height * width, self.box)
            self._known[latent_size] = found.unflatten(0, latent_size)
        return self._known[latent_size]

    def misfit(self, latent_size: Size, tokens: int) -> HostError | None:
        """Why nobody can say where these tokens lie in the picture."""
        if self.latent_size and any(abs(a - b) > 1 for a, b in zip(latent_size, self.latent_size, strict=True)):
            (height, width), (rows, columns) = self.latent_size, latent_size
            return HostError(
                f"Another extension divides the picture into tiles ({columns} x {rows} of {width} x {height} latent"
                " cells arrived), so IP-Adapter cannot tell where its mask is; switch off the tiles, or take the"
                " mask away."
            )
        if level_of(latent_size, tokens) is None:
            return HostError(
                f"Another extension changes the picture's size inside the UNet ({tokens} tokens arrived for"
                f" {latent_size[1]} x {latent_size[0]} latent cells), so IP-Adapter cannot tell where its mask is;"
                " switch it off (Kohya's hires fix does this), or take the mask away."
            )
        return None
