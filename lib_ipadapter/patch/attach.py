"""The two hooks of each cross-attention layer, after those of a FaceID file's LoRA.

A forward hook on ``attn2.to_q`` keeps the query; a forward pre-hook on ``attn2.to_out[0]`` adds the image branch to
what the host's own attention has computed in between, whichever that is. Nothing of the host is replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lib_ipadapter.errors import HostError
from lib_ipadapter.patch.branch import ImageBranch
from lib_ipadapter.patch.layers import CrossAttention, cross_attentions
from lib_ipadapter.patch.lora import add_lora
from lib_ipadapter.patch.moment import Moment

Failed = Callable[[HostError], None]
"""Told of what goes wrong inside the UNet's call; if it returns, the call goes on without the branches."""


def give_up(error: HostError) -> None:
    """The call ends there."""
    raise error


class LayerHooks:
    """The hooks of one layer, and the query between them."""

    def __init__(self, layer: CrossAttention, branches: Sequence[ImageBranch], moment: Moment, failed: Failed) -> None:
        self.layer = layer
        self.branches = branches
        self.moment = moment
        self.failed = failed
        self.query: Tensor | None = None

    def handles(self) -> Iterator[RemovableHandle]:
        """Sets the hooks."""
        yield self.layer.to_q.register_forward_hook(self.keep_query)
        yield self.layer.to_out.register_forward_pre_hook(self.add_branches)

    def keep_query(self, module: nn.Module, args: tuple[Any, ...], query: Tensor) -> None:
        """After ``to_q``: the query as the host computed it, LoRA and all."""
        self.moment.reached = True
        if any(branch.acts_in(self.layer, self.moment) for branch in self.branches):
            self.query = query

    def add_branches(self, module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
        """Before ``to_out[0]``: text attention plus every unit's image attention."""
        query, self.query = self.query, None
        if query is None:
            return None
        if misfit := self.misfit(query):
            self.failed(misfit)
            return None
        hidden, *rest = args
        for branch in self.branches:
            if branch.acts_in(self.layer, self.moment):
                hidden = hidden + branch.output(query, self.layer, self.moment).to(hidden.dtype)
        return (hidden, *rest)

    def misfit(self, query: Tensor) -> HostError | None:
        """A patcher that calls attention on part of the batch hides which rows these are."""
        if not self.moment.clear:
            return HostError(
                "Another extension asks for the rows of a step in an order of its own (AnimateDiff does, beyond its"
                " context window), and prompt and negative prompt are the same, so IP-Adapter cannot tell one from the"
                " other; write something into either."
            )
        if len(query) == len(self.moment.call):
            acting = (branch for branch in self.branches if branch.acts(self.moment))
            return next(filter(None, (branch.misfit(query, self.moment) for branch in acting)), None)
        return HostError(
            f"Another extension divides the batch inside cross-attention ({len(query)} of"
            f" {len(self.moment.call)} rows arrived), so IP-Adapter cannot tell prompt from negative prompt;"
            " switch off one of the two (NegPiP and Regional Prompter do this)."
        )


@contextmanager
def attach(
    unet: nn.Module, branches: Sequence[ImageBranch], moment: Moment, failed: Failed = give_up
) -> Iterator[None]:
    """While entered, `unet` adds `branches`; afterwards it is as before, bit for bit.

    The host tells `moment` of every denoiser step; every UNet call is seen here.
    """

    def begin_call(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        latent = next(value for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        moment.begin_call(len(latent), (latent.shape[-2], latent.shape[-1]), kwargs.get("context"))

    def end_call(*_: object) -> None:
        try:
            moment.end_call()
        except HostError as error:
            failed(error)

    with ExitStack() as stack:
        stack.callback(unet.register_forward_pre_hook(begin_call, with_kwargs=True).remove)
        stack.callback(unet.register_forward_hook(end_call).remove)
        layers = cross_attentions(unet)
        for handle in add_lora(unet, layers, branches, moment):
            stack.callback(handle.remove)
        for layer in layers:
            for handle in LayerHooks(layer, branches, moment, failed).handles():
                stack.callback(handle.remove)
        yield
