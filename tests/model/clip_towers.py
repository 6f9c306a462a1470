"""A small ViT-L (as wide, so that its heads are known) in transformers' layout, and open_clip's by hand."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

WIDTH, HEADS, EMBED, PATCH = 1024, 16, 768, 14


def small_vit_l() -> CLIPVisionModelWithProjection:
    """Two layers, four patches, narrow in between."""
    torch.manual_seed(0)
    config = CLIPVisionConfig(
        hidden_size=WIDTH, intermediate_size=64, projection_dim=EMBED, num_hidden_layers=2, num_attention_heads=HEADS,
        image_size=2 * PATCH, patch_size=PATCH, hidden_act="quick_gelu",
    )  # fmt: skip
    model = CLIPVisionModelWithProjection(config).eval().requires_grad_(False)
    for parameter in model.parameters():  # else many a bias is zero, and no test would see it misplaced
        parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def open_clip_tower(seed: int = 1) -> dict[str, Tensor]:
    """Random weights in open_clip's layout, without a prefix; made here, so that no table of ours is in them."""
    torch.manual_seed(seed)

    def norm(name: str) -> dict[str, Tensor]:
        return {f"{name}.weight": 1 + 0.1 * torch.randn(WIDTH), f"{name}.bias": 0.1 * torch.randn(WIDTH)}

    def linear(name: str, out: int, inside: int) -> dict[str, Tensor]:
        return {f"{name}.weight": torch.randn(out, inside) / inside**0.5, f"{name}.bias": 0.1 * torch.randn(out)}

    tower = {
        "class_embedding": torch.randn(WIDTH),
        "positional_embedding": torch.randn(5, WIDTH),
        "conv1.weight": 0.04 * torch.randn(WIDTH, 3, PATCH, PATCH),
        "proj": torch.randn(WIDTH, EMBED) / WIDTH**0.5,
        **norm("ln_pre"),
        **norm("ln_post"),
    }
    for i in range(2):
        block = f"transformer.resblocks.{i}."
        inwards = linear(block + "attn.in_proj", 3 * WIDTH, WIDTH)
        tower |= {key.replace("in_proj.", "in_proj_"): tensor for key, tensor in inwards.items()}
        tower |= linear(block + "attn.out_proj", WIDTH, WIDTH)
        tower |= norm(block + "ln_1") | norm(block + "ln_2")
        tower |= linear(block + "mlp.c_fc", 64, WIDTH) | linear(block + "mlp.c_proj", WIDTH, 64)
    return tower


def open_clip_forward(w: Mapping[str, Tensor], pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Embedding, and the last but one layer, by the published architecture (CLIP's VisionTransformer, quick GELU)."""

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"])

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    def block(x: Tensor, name: str) -> Tensor:
        inner = norm(x, f"{name}.ln_1").transpose(0, 1)  # nn.MultiheadAttention wants the sequence first
        attended, _ = F.multi_head_attention_forward(
            inner, inner, inner, WIDTH, HEADS, w[f"{name}.attn.in_proj_weight"], w[f"{name}.attn.in_proj_bias"],
            None, None, False, 0.0, w[f"{name}.attn.out_proj.weight"], w[f"{name}.attn.out_proj.bias"],
            training=False, need_weights=False,
        )  # fmt: skip
        x = x + attended.transpose(0, 1)
        hidden = linear(norm(x, f"{name}.ln_2"), f"{name}.mlp.c_fc")
        return x + linear(hidden * torch.sigmoid(1.702 * hidden), f"{name}.mlp.c_proj")

    x = F.conv2d(pixels, w["conv1.weight"], stride=PATCH).flatten(2).transpose(1, 2)
    x = torch.cat([w["class_embedding"].expand(len(x), 1, -1), x], 1) + w["positional_embedding"]
    x = last_but_one = block(norm(x, "ln_pre"), "transformer.resblocks.0")
    x = block(x, "transformer.resblocks.1")
    return norm(x[:, 0], "ln_post") @ w["proj"], last_but_one
