"""Towers in open_clip's layout, made from transformers' by the table that reads them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lib_ipadapter.model.encoder_dialects import OPEN_CLIP
from lib_ipadapter.model.marks import fill, matches


def as_open_clip(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`tensors` of transformers' layout in open_clip's below ``visual.``; the inverse of `encoder_dialects.read`."""
    found: dict[str, Tensor] = {}
    for rule in OPEN_CLIP:
        for marks in matches(rule.ours[0], tensors):
            parts = [tensors[fill(ours, marks)] for ours in rule.ours]
            whole = torch.cat(parts) if parts[1:] else parts[0]
            found[fill(rule.theirs, marks)] = whole.T if rule.transposed else whole
    return found
