"""The rows of each denoiser step in the WebUI, and whose they are. Places in comments are of its version 1.10.1."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import torch
from modules import script_callbacks
from torch import Tensor, nn

from lib_ipadapter.patch.moment import Role
from lib_ipadapter.patch.rows import StepRows
from lib_ipadapter.session.host import BeginStep


class DenoiserSteps:
    """The rows of each denoiser step, announced as the denoiser hands them to its model.

    Its callback (sd_samplers_cfg_denoiser.py:211) tells all rows of a step, before the denoiser decides to leave some
    out or to divide them. The model that wraps the UNet is then called with the next so many of them, and by some
    extensions with all of them again, or with the unconditional ones; whether tiles repeat these rows in many UNet
    calls no longer matters.
    """

    def __init__(self, begin_step: BeginStep, first: int = 0, within: int | None = None) -> None:
        self.begin_step = begin_step
        self.first = first
        """Pictures of the job in earlier batches."""
        self.within = within
        """The one picture of an outer job that this job works on."""
        self.progress = 0.0
        self.rows = StepRows()
        self._negative: Any = None
        """Texts of the unconditional rows."""
        self._model: nn.Module | None = None
        self._watched = ExitStack()

    def on_cfg_denoiser(self, params: script_callbacks.CFGDenoiserParams) -> None:
        """A step begins."""
        # `sampling_step` of the callback lags behind; the denoiser's own count is what the sampler really does.
        self.progress = params.denoiser.step / params.denoiser.total_steps
        one = self.within
        items = [self.first + item if one is None else one for item in step_items(params)]
        self.rows, self._negative = StepRows(step_roles(params), items), params.text_uncond
        self._watch(params.denoiser.inner_model)

    def before_model(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The denoiser calls its model with the next rows."""
        texts = texts_of(kwargs.get("cond"))
        rows = self.rows.take(len(args[0]), lambda: equal(texts, texts_of(self._negative)))
        self.begin_step(self.progress, *rows, texts)

    def after_model(self, *_: Any) -> None:
        """The model has returned or failed: until it is called again, whoever calls the UNet gets no image tokens.

        An exception may leave hooks behind until the processing object is collected; they do nothing until then.
        """
        self.begin_step(self.progress, [], [])

    def close(self) -> None:
        """Lets go of the model."""
        self._watched.close()
        self._model = None

    def _watch(self, model: nn.Module) -> None:
        """A refiner puts another model in place in the middle of sampling."""
        if model is not self._model:
            self.close()
            self._watched.callback(model.register_forward_pre_hook(self.before_model, with_kwargs=True).remove)
            self._watched.callback(model.register_forward_hook(self.after_model, always_call=True).remove)
            self._model = model


def texts_of(cond: Any) -> Tensor | None:
    """What the text attention of some rows attends to, by either name (sd_samplers_cfg_denoiser.py:192)."""
    if isinstance(cond, Mapping):
        cond = cond.get("crossattn", cond.get("c_crossattn"))
    return next((one for one in (cond if isinstance(cond, list) else [cond]) if isinstance(one, Tensor)), None)


def equal(one: Tensor | None, other: Tensor | None) -> bool:
    """Whether both are there and say the same."""
    return one is not None and other is not None and torch.equal(one, other.to(one))


def step_roles(params: script_callbacks.CFGDenoiserParams) -> list[Role]:
    """Roles of a step's rows: first every conditional one (several per picture with AND), then all others.

    InstructPix2Pix has two kinds of others, with and without its own picture; to the prompt both are unconditional.
    """
    conditional = params.text_cond.shape[0]
    return [Role.CONDITIONAL] * conditional + [Role.UNCONDITIONAL] * (len(params.x) - conditional)


def step_items(params: script_callbacks.CFGDenoiserParams) -> list[int]:
    """Which picture of the batch each of a step's rows is of, in the order of `step_roles`.

    With AND a picture has as many conditional rows, one after the other, as its prompt has parts; the conditioning that
    the sampler was given tells how many (sd_samplers_cfg_denoiser.py:187). Of the others each picture has one in turn.
    """
    conditional = params.text_cond.shape[0]
    sampler = getattr(params.denoiser, "sampler", None)
    prompts = getattr((getattr(sampler, "sampler_extra_args", None) or {}).get("cond"), "batch", None) or [()]
    parts = [len(prompt) for prompt in prompts]
    if sum(parts) != conditional:  # a sampler of another kind: as many for each
        parts = [1] * conditional
    own = [picture for picture, count in enumerate(parts) for _ in range(count)]
    return own + [row % len(parts) for row in range(len(params.x) - conditional)]


def first_item(processing: Any) -> int:
    """How many pictures of a job are in the batches before the one that is made now."""
    return getattr(processing, "iteration", 0) * getattr(processing, "batch_size", 1)


def item_at_hand(processing: Any) -> int:
    """Which picture of a job is being worked on after its sampling (processing.py:1032 counts them in each batch)."""
    return first_item(processing) + getattr(processing, "batch_index", 0)
