"""Weights stay as small as their file; what is computed has the dtype that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from lib_ipadapter.maths.precision import visiting
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.model.variant import PICTURE_KINDS, Kind
from tests.models import EMBED, HIDDEN, TEXT_WIDTH, tiny_adapter

STORED = [torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2]
COMPUTED = [torch.float32, torch.float16, torch.bfloat16]


def stored(kind: Kind, dtype: torch.dtype, path: Path) -> IPAdapter:
    save_file({key: tensor.to(dtype) for key, tensor in tiny_adapter(kind).state_dict().items()}, path)
    return IPAdapter.read(path)


def features(kind: Kind, dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(1, EMBED).to(dtype) if kind is Kind.BASE else torch.randn(1, 17, HIDDEN).to(dtype)


@pytest.mark.parametrize("kind", PICTURE_KINDS)
@pytest.mark.parametrize("storage", STORED, ids=str)
@pytest.mark.parametrize("compute", COMPUTED, ids=str)
def test_every_storage_computes_in_every_dtype_what_its_own_weights_do_in_full(
    kind: Kind, storage: torch.dtype, compute: torch.dtype, tmp_path: Path
) -> None:
    adapter = stored(kind, storage, tmp_path / "adapter.safetensors")
    size = adapter.nbytes
    assert size == sum(p.numel() for p in adapter.parameters()) * storage.itemsize
    with torch.no_grad():
        tokens = adapter.project(features(kind, compute))
        layers = adapter.key_values(tokens)
        wide = adapter.float()
        wanted = wide.key_values(wide.project(features(kind, compute).float()))
    assert tokens.dtype == compute
    assert tokens.shape[-1] == TEXT_WIDTH
    assert {kv.key.dtype for kv in layers} | {kv.value.dtype for kv in layers} == {compute}
    error = max((kv.key - full.key).norm() / full.key.norm() for kv, full in zip(layers, wanted, strict=True))
    assert error < {torch.float32: 1e-6, torch.float16: 0.02, torch.bfloat16: 0.1}[compute]


@pytest.mark.parametrize("storage", STORED, ids=str)
def test_computing_leaves_the_weights_as_they_were_read(storage: torch.dtype, tmp_path: Path) -> None:
    adapter = stored(Kind.PLUS, storage, tmp_path / "adapter.safetensors")
    with torch.no_grad():
        adapter.key_values(adapter.project(features(Kind.PLUS, torch.float32)))
    assert {p.dtype for p in adapter.parameters()} == {storage}


class Seen(TorchDispatchMode):
    """Device and dtype of everything that is computed inside."""

    def __init__(self) -> None:
        super().__init__()
        self.made: set[tuple[str, torch.dtype]] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.made |= {(t.device.type, t.dtype) for t in tree_flatten(out)[0] if isinstance(t, torch.Tensor)}
        return out


@pytest.mark.parametrize("kind", PICTURE_KINDS)
def test_nothing_is_ever_computed_in_64_bits_which_apples_gpu_has_not(kind: Kind, tmp_path: Path) -> None:
    adapter = stored(kind, torch.float16, tmp_path / "adapter.safetensors")
    given = features(kind, torch.float32)
    with torch.no_grad(), Seen() as seen:
        adapter.key_values(adapter.project(given))
    assert ("cpu", torch.float32) in seen.made
    assert not any(dtype == torch.float64 for _, dtype in seen.made)


@pytest.mark.parametrize("storage", [torch.float8_e4m3fn, torch.float8_e5m2], ids=str)
def test_eight_bits_are_widened_before_they_travel(storage: torch.dtype) -> None:
    weight = torch.ones(2, 2).to(storage)
    with Seen() as seen:
        moved = visiting(weight, torch.device("meta"), torch.float16)
    assert (moved.device.type, moved.dtype) == ("meta", torch.float16)
    assert ("meta", storage) not in seen.made


def test_a_weight_that_is_where_it_is_needed_is_not_copied() -> None:
    weight = torch.ones(2, 2)
    assert visiting(weight, torch.device("cpu"), torch.float32) is weight
