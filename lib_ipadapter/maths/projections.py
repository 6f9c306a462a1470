"""From image features to image tokens.

Attribute names are the key names of the published files, so a state dict loads as it is.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lib_ipadapter.maths.shapes import Float


class LinearProjection(nn.Module):
    """Base adapters: one global embedding -> N tokens, then LayerNorm (paper, section 3.2.1)."""

    def __init__(self, *, features: int, tokens: int, width: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj = nn.Linear(features, tokens * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, embeds: Float[Tensor, "rows features"]) -> Float[Tensor, "rows tokens width"]:
        return self.norm(self.proj(embeds).unflatten(-1, (self.tokens, -1)))


class MLPProjection(nn.Module):
    """Full adapters: each place of the encoder's last-but-one layer by itself -> one token, so there are as many.

    As MLPProjModel in tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter.py, where the first map is square too.
    """

    def __init__(self, *, features: int, width: int) -> None:
        super().__init__()
        self.proj = nn.Sequential(
            nn.Linear(features, features), nn.GELU(), nn.Linear(features, width), nn.LayerNorm(width)
        )

    def forward(self, features: Float[Tensor, "rows grid features"]) -> Float[Tensor, "rows grid width"]:
        return self.proj(features)


class PerceiverAttention(nn.Module):
    """Latents attend to the image features and to themselves.

    As in tencent-ailab/IP-Adapter@62e4af9 ip_adapter/resampler.py: keys come from both, normalised apart.
    """

    def __init__(self, *, dim: int, heads: int, head_dim: int) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.to_q = nn.Linear(dim, inner, bias=False)
        self.to_kv = nn.Linear(dim, inner * 2, bias=False)
        self.to_out = nn.Linear(inner, dim, bias=False)

    def forward(
        self, features: Float[Tensor, "rows grid dim"], latents: Float[Tensor, "rows queries dim"]
    ) -> Float[Tensor, "rows queries dim"]:
        features, latents = self.norm1(features), self.norm2(latents)
        key, value = self.to_kv(torch.cat([features, latents], dim=1)).chunk(2, dim=-1)
        query, key, value = (
            t.unflatten(-1, (self.heads, -1)).transpose(1, 2) for t in (self.to_q(latents), key, value)
        )
        out = F.scaled_dot_product_attention(query, key, value)
        return self.to_out(out.transpose(1, 2).flatten(2))


def feed_forward(dim: int, mult: int) -> nn.Sequential:
    """The Resampler's feed-forward: LayerNorm, up, GELU, down, no biases in the linear maps."""
    return nn.Sequential(
        nn.LayerNorm(dim),
        nn.Linear(dim, dim * mult, bias=False),
        nn.GELU(),
        nn.Linear(dim * mult, dim, bias=False),
    )


class Perceiver(nn.Module):
    """Blocks of attention and feed-forward that carry queries over image features, then to the tokens' width.

    FaceID-plus adapters have one whose queries are the tokens of a face
    (tencent-ailab/IP-Adapter@62e4af9 ip_adapter/ip_adapter_faceid.py:30-65).
    """

    def __init__(
        self, *, features: int, dim: int, depth: int, heads: int, width: int, head_dim: int = 64, ff_mult: int = 4
    ) -> None:
        super().__init__()
        self.proj_in = nn.Linear(features, dim)
        self.proj_out = nn.Linear(dim, width)
        self.norm_out = nn.LayerNorm(width)
        self.layers = nn.ModuleList(
            nn.ModuleList([PerceiverAttention(dim=dim, heads=heads, head_dim=head_dim), feed_forward(dim, ff_mult)])
            for _ in range(depth)
        )

    def carry(
        self, latents: Float[Tensor, "rows queries dim"], features: Float[Tensor, "rows grid features"]
    ) -> Float[Tensor, "rows queries width"]:
        """Queries over features -> as many image tokens."""
        features = self.proj_in(features)
        for block in self.layers:
            attention, forward = block  # pyright: ignore[reportGeneralTypeIssues]
            latents = latents + attention(features, latents)
            latents = latents + forward(latents)
        return self.norm_out(self.proj_out(latents))


class Resampler(Perceiver):
    """Plus adapters: learned queries over the encoder's last-but-one layer (paper, section 4.4.2)."""

    def __init__(
        self,
        *,
        features: int,
        dim: int,
        depth: int,
        heads: int,
        queries: int,
        width: int,
        head_dim: int = 64,
        ff_mult: int = 4,
    ) -> None:
        latents = torch.randn(1, queries, dim) / dim**0.5  # drawn first: a seed gives what it always gave
        super().__init__(
            features=features, dim=dim, depth=depth, heads=heads, width=width, head_dim=head_dim, ff_mult=ff_mult
        )
        self.latents = nn.Parameter(latents)

    def forward(self, features: Float[Tensor, "rows grid features"]) -> Float[Tensor, "rows queries width"]:
        return self.carry(self.latents.expand(len(features), -1, -1), features)
