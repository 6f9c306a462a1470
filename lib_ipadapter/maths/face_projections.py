"""From the embedding of a face to image tokens.

Attribute names are the key names of the published files, as in `lib_ipadapter.maths.projections`.
Source: tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter_faceid.py.
"""

from __future__ import annotations

from torch import Tensor, nn

from lib_ipadapter.maths.projections import Perceiver, Resampler
from lib_ipadapter.maths.shapes import Float


class FaceTokens(nn.Module):
    """An MLP over a face embedding -> N tokens, then LayerNorm: all of FaceID, and the first half of FaceID-plus."""

    def __init__(self, *, face: int, inner: int, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj = nn.Sequential(nn.Linear(face, inner), nn.GELU(), nn.Linear(inner, tokens * width))
        self.norm = nn.LayerNorm(width)

    def face_tokens(self, face: Float[Tensor, "rows face"]) -> Float[Tensor, "rows tokens width"]:
        """What the embedding alone says."""
        return self.norm(self.proj(face).unflatten(-1, (self.tokens, -1)))


class FaceIDProjection(FaceTokens):
    """FaceID and portrait adapters (lines 68-91). Each face is a row; several are put side by side afterwards."""

    def forward(self, face: Float[Tensor, "rows face"]) -> Float[Tensor, "rows tokens width"]:
        return self.face_tokens(face)


class FaceIDPlusProjection(FaceTokens):
    """FaceID-plus adapters: the face's tokens are queries over the encoder's last-but-one layer (lines 94-138).

    Version 2 adds a shortcut, ``tokens + shortcut_scale * out``: the scale says how much the picture of the face
    counts beside its embedding.
    """

    def __init__(
        self, *, face: int, inner: int, tokens: int, width: int, shortcut: bool, perceiver_resampler: Perceiver
    ) -> None:
        super().__init__(face=face, inner=inner, tokens=tokens, width=width)
        self.shortcut = shortcut
        self.perceiver_resampler = perceiver_resampler

    def forward(
        self,
        face: Float[Tensor, "rows face"],
        hidden: Float[Tensor, "rows grid features"],
        shortcut_scale: float = 1.0,
    ) -> Float[Tensor, "rows tokens width"]:
        """`shortcut_scale` means nothing to version 1, which has no shortcut."""
        tokens = self.face_tokens(face)
        out = self.perceiver_resampler.carry(tokens, hidden)
        return tokens + shortcut_scale * out if self.shortcut else out


class FaceResampler(Resampler):
    """Portrait-unnorm adapters: the embedding, as insightface gives it, is a sequence of one for a Resampler."""

    def forward(self, features: Float[Tensor, "rows face"]) -> Float[Tensor, "rows queries width"]:
        return super().forward(features[:, None])
