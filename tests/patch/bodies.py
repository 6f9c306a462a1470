"""Attention bodies as hosts put them on the class, written anew: what matters is how each uses its submodules."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def heads_apart(tensor: Tensor, heads: int) -> Tensor:
    return tensor.unflatten(-1, (heads, -1)).transpose(1, 2)


def heads_together(tensor: Tensor) -> Tensor:
    return tensor.transpose(1, 2).flatten(2)


def split(self: nn.Module, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **_: object) -> Tensor:
    """The query in slices, to save memory."""
    context = x if context is None else context
    query, key, value = (heads_apart(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
    parts = []
    for piece in query.split(3, dim=2):
        logits = piece @ key.transpose(-1, -2) / math.sqrt(key.shape[-1])
        parts.append(logits.softmax(-1) @ value)
    return self.to_out(heads_together(torch.cat(parts, dim=2)))


def indexing(
    self: nn.Module, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **_: object
) -> Tensor:
    """Scaled dot product; calls the parts of ``to_out`` one by one."""
    context = x if context is None else context
    query, key, value = (heads_apart(t, self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context)))
    hidden = heads_together(F.scaled_dot_product_attention(query, key, value)).to(x.dtype)
    return self.to_out[1](self.to_out[0](hidden))


def unpacking(
    self: nn.Module, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **_: object
) -> Tensor:
    """Takes ``to_out`` apart before it calls the parts, and multiplies value before query is known."""
    context = x if context is None else context
    value = heads_apart(self.to_v(context), self.heads)
    key = heads_apart(self.to_k(context), self.heads)
    query = heads_apart(self.to_q(x), self.heads) * key.shape[-1] ** -0.5
    hidden = (query @ key.transpose(-1, -2)).softmax(-1) @ value
    out_proj, dropout = self.to_out
    return dropout(out_proj(heads_together(hidden)))


def upcasting(
    self: nn.Module, x: Tensor, context: Tensor | None = None, mask: Tensor | None = None, **_: object
) -> Tensor:
    """Attention in float32 inside a half model, as the WebUI's ``upcast_attn`` does it."""
    context = x if context is None else context
    query, key, value = (
        heads_apart(t.float(), self.heads) for t in (self.to_q(x), self.to_k(context), self.to_v(context))
    )
    hidden = heads_together(F.scaled_dot_product_attention(query, key, value)).to(x.dtype)
    return self.to_out(hidden)


BODIES = {"plain": None, "split": split, "indexing": indexing, "unpacking": unpacking, "upcasting": upcasting}
"""None: the class's own."""
