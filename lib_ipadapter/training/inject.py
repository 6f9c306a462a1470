"""The hooks of inference with keys and values in the graph: each row of the batch has a picture of its own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

from torch import Tensor, nn

from lib_ipadapter.maths.attention import KeyValue
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.patch.attach import attach
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.moment import Moment


class RowMoment(Moment):
    """The n-th row of a UNet call belongs to the n-th row of keys and values; there are no roles and no steps.

    The rows outlast the call: gradient checkpointing runs its layers again while the gradient is computed.
    """

    def begin_call(self, rows: int, latent_size: tuple[int, int], texts: Tensor | None = None) -> None:
        super().begin_call(rows, latent_size, texts)
        self.call = list(range(rows))


class RowBranch(ImageBranch):
    """Rows are taken as they come, and nothing is kept: the next call has other pictures."""

    def picked(self, layer: int, moment: Moment) -> list[int]:
        return moment.call

    def rows(self, layer: int, picked: Sequence[int], like: Tensor) -> KeyValue:
        kv = self.key_values[layer]
        assert len(kv.key) == len(picked), "as many rows of keys and values as the batch has"
        return kv.like(like)


class Injection:
    """A context manager: while entered, the UNet attends to the keys and values that were `set` last."""

    def __init__(self, unet: nn.Module) -> None:
        self._unet = unet
        self._current: list[KeyValue] = []
        self._attached = ExitStack()

    def __enter__(self) -> Injection:
        self._attached.enter_context(attach(self._unet, [RowBranch(self._current)], RowMoment(announced=True)))
        return self

    def __exit__(self, *_: object) -> None:
        self._attached.close()
        self._current.clear()

    def set(self, key_values: Sequence[KeyValue]) -> None:
        """K and V of every layer in checkpoint order, ``[rows, tokens, width]``."""
        self._current[:] = key_values


class Conditioner(nn.Module):
    """All that is trained, as the one module that accelerate wraps."""

    def __init__(self, adapter: IPAdapter) -> None:
        super().__init__()
        self.adapter = adapter

    def forward(self, features: Tensor) -> tuple[KeyValue, ...]:
        """Features of pictures, ``[rows, features]`` or ``[rows, grid, features]``, to K and V of every layer."""
        return self.adapter.key_values(self.adapter.project(features))
