"""CLIP's text tower, first taught that every token behind a caption tells its words, as CLIP's own last token does."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from pocket.captions import caption, vocabulary
from pocket.scenes import sample_scene
from pocket.stage import Loss

WIDTH = 64
"""Of the text; the picture's tokens are as wide."""
LENGTH = 77
BATCH = 64


def make_text(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Three layers; words that no caption holds start, and stay, at zero."""
    config = CLIPTextConfig(
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        hidden_act="quick_gelu",
    )
    text = CLIPTextModel(config)
    known = sorted(set(tokenizer(" ".join(vocabulary())).input_ids))
    table: Any = text.get_input_embeddings().weight
    with torch.no_grad():
        kept = torch.randn(len(known), WIDTH) * 0.1
        table.zero_()
        table[known] = kept
        # The WebUI scales emphasised prompts back to their mean, which must not be 0.
        norm = next(module for name, module in text.named_modules() if name.endswith("final_layer_norm"))
        norm.bias.fill_(-0.1)  # pyright: ignore
    return text


def tokens_of(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """``[n, 77]``, filled up with the end token."""
    return tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids


class Listener(nn.Module):
    """The tower with one linear layer that names the words heard so far."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        super().__init__()
        self.text = make_text(tokenizer)
        self.words = vocabulary()
        self.head = nn.Linear(WIDTH, len(self.words))

    def forward(self, tokens: Tensor) -> Tensor:
        """Token numbers ``[n, 77]`` -> scores of each word ``[n, 77, words]``."""
        return self.head(self.text(tokens).last_hidden_state)


def text_loss(tokenizer: CLIPTokenizer) -> Loss:
    """Cross-entropy over the words of each caption, at its end token and all that fill up."""

    end: Any = tokenizer.eos_token_id

    def loss(model: nn.Module, lot: random.Random) -> tuple[Tensor, dict[str, float]]:
        device = next(model.parameters()).device
        texts = [caption(sample_scene(lot), lot) for _ in range(BATCH)]
        tokens = tokens_of(tokenizer, texts).to(device)
        words = vocabulary()
        said = torch.tensor([[float(word in text.replace(",", " ,").split()) for word in words] for text in texts])
        behind = tokens.eq(end).float()
        scores = model(tokens)
        target = said.to(device)[:, None].expand_as(scores)
        each = F.binary_cross_entropy_with_logits(scores, target, reduction="none").mean(dim=-1)
        value = (each * behind).sum() / behind.sum()
        right = ((scores > 0) == (target > 0.5)).all(dim=-1).float()
        return value, {"right": float((right * behind).sum() / behind.sum())}

    return loss
