"""diffusers' projections are the oracle: same weights, same image tokens."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import ImageProjection, IPAdapterFullImageProjection, IPAdapterPlusImageProjection
from torch import Tensor, nn

from lib_ipadapter.maths.projections import LinearProjection, MLPProjection, Resampler
from lib_ipadapter.model.adapter import build_projection
from lib_ipadapter.model.variant import Kind
from tests.models import tiny_features, variant


def as_diffusers(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our (the published) Resampler keys under diffusers' names."""
    renamed = {}
    for key, tensor in state.items():
        parts = key.split(".")
        if parts[0] != "layers":
            renamed[key] = tensor
        elif parts[2] == "0" and parts[3] == "to_kv":
            renamed[f"layers.{parts[1]}.attn.to_k.weight"], renamed[f"layers.{parts[1]}.attn.to_v.weight"] = (
                tensor.chunk(2)
            )
        elif parts[2] == "0":
            name = {"norm1": "ln0", "norm2": "ln1", "to_q": "attn.to_q", "to_out": "attn.to_out.0"}[parts[3]]
            renamed[f"layers.{parts[1]}.{name}.{parts[4]}"] = tensor
        else:
            name = {"0": "ff.0", "1": "ff.1.net.0.proj", "3": "ff.1.net.2"}[parts[3]]
            renamed[f"layers.{parts[1]}.{name}.{parts[4]}"] = tensor
    return renamed


def shake(module: nn.Module) -> None:
    """Weights of norms, too, become something that shows."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)


@pytest.mark.parametrize(("features", "tokens", "width"), [(40, 4, 48), (7, 1, 5), (16, 16, 8)])
def test_linear_projection_equals_diffusers(features: int, tokens: int, width: int) -> None:
    torch.manual_seed(0)
    ours = LinearProjection(features=features, tokens=tokens, width=width)
    shake(ours)
    theirs = ImageProjection(image_embed_dim=features, cross_attention_dim=width, num_image_text_embeds=tokens)
    theirs.load_state_dict({k.replace("proj.", "image_embeds."): v for k, v in ours.state_dict().items()})
    embeds = torch.randn(3, features)
    torch.testing.assert_close(ours(embeds), theirs(embeds))


@pytest.mark.parametrize("depth", [1, 4])
@pytest.mark.parametrize(("heads", "head_dim"), [(2, 64), (3, 8)])
def test_resampler_equals_diffusers(depth: int, heads: int, head_dim: int) -> None:
    torch.manual_seed(0)
    dim, width = 32, 24
    ours = Resampler(
        features=20, dim=dim, depth=depth, heads=heads, head_dim=head_dim, queries=6, width=width, ff_mult=2
    )
    shake(ours)
    theirs = IPAdapterPlusImageProjection(
        embed_dims=20, output_dims=width, hidden_dims=dim, depth=depth,
        dim_head=head_dim, heads=heads, num_queries=6, ffn_ratio=2,
    )  # fmt: skip
    theirs.load_state_dict(as_diffusers(ours.state_dict()))
    features = torch.randn(2, 17, 20)
    torch.testing.assert_close(ours(features), theirs(features), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("features", "width"), [(20, 24), (7, 5)])
@pytest.mark.parametrize("grid", [1, 17, 257])
def test_mlp_projection_equals_diffusers(features: int, width: int, grid: int) -> None:
    torch.manual_seed(0)
    ours = MLPProjection(features=features, width=width)
    shake(ours)
    theirs = IPAdapterFullImageProjection(image_embed_dim=features, cross_attention_dim=width)
    names = {"proj.0": "ff.net.0.proj", "proj.2": "ff.net.2", "proj.3": "norm"}
    state = {f"{names[key[:6]]}{key[6:]}": tensor for key, tensor in ours.state_dict().items()}
    theirs.load_state_dict(state)
    hidden = torch.randn(2, grid, features)
    found = ours(hidden)
    assert found.shape == (2, grid, width)
    torch.testing.assert_close(found, theirs(hidden))


def test_each_place_of_the_grid_becomes_a_token_that_no_other_place_touches() -> None:
    projection, hidden = MLPProjection(features=6, width=4), torch.randn(1, 5, 6)
    changed = hidden.clone()
    changed[:, 2] += 1.0
    moved = (projection(hidden) != projection(changed)).any(dim=-1)
    assert moved.tolist() == [[False, False, True, False, False]]


@pytest.mark.parametrize("kind", Kind)
def test_rows_are_projected_independently(kind: Kind) -> None:
    projection = build_projection(variant(kind))
    features = tiny_features(variant(kind), rows=3)
    alone = torch.cat([projection(*(part[i : i + 1] for part in features)) for i in range(3)])
    torch.testing.assert_close(projection(*features), alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", Kind)
def test_gradients_reach_every_weight(kind: Kind) -> None:
    projection = build_projection(variant(kind))
    tokens = projection(*tiny_features(variant(kind)))
    (tokens * torch.randn_like(tokens)).sum().backward()
    silent = [name for name, p in projection.named_parameters() if p.grad is None or not p.grad.any()]
    assert silent == []
