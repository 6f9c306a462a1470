"""The image branch is the paper's formula, written out here a second time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from lib_ipadapter.maths.attention import KeyValue, image_attention
from lib_ipadapter.maths.embeds import ImagePromptEmbeds


def formula(query: Tensor, kv: KeyValue, heads: int) -> Tensor:
    """``softmax(Q K'^T / sqrt(d)) V'`` head by head, without any fused kernel."""
    size = query.shape[-1] // heads
    parts = []
    for head in range(heads):
        columns = slice(head * size, (head + 1) * size)
        logits = query[..., columns] @ kv.key[..., columns].transpose(1, 2) / size**0.5
        parts.append(logits.softmax(-1) @ kv.value[..., columns])
    return torch.cat(parts, dim=-1)


def random_kv(rows: int, tokens: int, width: int) -> KeyValue:
    return KeyValue(torch.randn(rows, tokens, width), torch.randn(rows, tokens, width))


@given(
    rows=st.integers(1, 4),
    queries=st.integers(1, 9),
    tokens=st.integers(1, 6),
    heads=st.sampled_from([1, 2, 5]),
    size=st.sampled_from([1, 4, 16]),
)
def test_image_attention_is_the_papers_formula(rows: int, queries: int, tokens: int, heads: int, size: int) -> None:
    torch.manual_seed(0)
    query, kv = torch.randn(rows, queries, heads * size), random_kv(rows, tokens, heads * size)
    torch.testing.assert_close(image_attention(query, kv, heads), formula(query, kv, heads), rtol=1e-4, atol=1e-5)


def test_one_token_is_handed_on_whatever_the_query() -> None:
    kv = random_kv(rows=2, tokens=1, width=8)
    out = image_attention(torch.randn(2, 5, 8) * 100, kv, heads=2)
    torch.testing.assert_close(out, kv.value.expand(2, 5, 8))


def test_the_order_of_image_tokens_does_not_matter() -> None:
    query, kv = torch.randn(1, 7, 16), random_kv(1, 6, 16)
    turned = KeyValue(kv.key.flip(1), kv.value.flip(1))
    torch.testing.assert_close(image_attention(query, kv, 2), image_attention(query, turned, 2))


def test_rows_are_taken_in_the_order_asked_and_may_repeat() -> None:
    kv = random_kv(rows=2, tokens=3, width=4)
    taken = kv.rows([1, 0, 1])
    assert torch.equal(taken.key, torch.stack([kv.key[1], kv.key[0], kv.key[1]]))
    assert torch.equal(taken.value, torch.stack([kv.value[1], kv.value[0], kv.value[1]]))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_like_takes_the_dtype_of_the_query(dtype: torch.dtype) -> None:
    kv = random_kv(1, 2, 4).like(torch.zeros(1, dtype=dtype))
    assert (kv.key.dtype, kv.value.dtype) == (dtype, dtype)


def test_like_copies_nothing_when_nothing_changes() -> None:
    kv = random_kv(1, 2, 4)
    assert kv.like(kv.key).key is kv.key


def test_nbytes_counts_keys_and_values() -> None:
    assert random_kv(rows=2, tokens=3, width=4).nbytes == 2 * (2 * 3 * 4) * 4


def test_stacked_rows_are_indexed_by_role() -> None:
    embeds = ImagePromptEmbeds(cond=torch.ones(1, 4, 8), uncond=torch.zeros(1, 4, 8))
    assert embeds.stacked()[:, 0, 0].tolist() == [0.0, 1.0]
