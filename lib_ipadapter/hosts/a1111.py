"""AUTOMATIC1111's WebUI as a host. Places in comments are of its version 1.10.1."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from modules import call_queue, devices, script_callbacks, sd_models, shared
from torch import nn

from lib_ipadapter.errors import IPAdapterError, headline
from lib_ipadapter.hosts.a1111_canvas import canvas_of
from lib_ipadapter.hosts.a1111_folders import adapter_folders, cache_folder, encoder_folders, without_folders
from lib_ipadapter.hosts.a1111_steps import DenoiserSteps, first_item, item_at_hand
from lib_ipadapter.maths.precision import without_autocast
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import BeginStep, Canvas

LOG = logging.getLogger("IP-Adapter")

ERROR_KEY = "IP-Adapter error"
"""Infotext key of a picture for which the adapter failed, in whole or in part."""

NOTICE_KEY = "IP-Adapter notice"
"""Infotext key of what was set to no effect."""

CACHE_SETTING = "ip_adapter_cache_mb"
CACHE_MB = 256
"""Room on the disk for encoded pictures; one takes 1.3 MB."""


class A1111Host:
    """The WebUI, for one processing object, or for work outside of any. `within`: the jobs that it is inside of."""

    def __init__(
        self,
        processing: Any = None,
        fail: Callable[[IPAdapterError], None] | None = None,
        *,
        within: Sequence[Any] = (),
    ) -> None:
        self._fail = fail
        self._item = item_at_hand(within[0]) if within else None
        self._within = [weakref.ref(job) for job in within]
        # Weakly: the end of the processing object is what closes a generation that an exception left open.
        self._processing = weakref.ref(processing) if processing is not None else lambda: None
        self.device = torch.device(devices.device)
        # Half precision is for GPUs: on the CPU it is slow, on Apple's it overflows in CLIP.
        self.dtype = devices.dtype if self.device.type == "cuda" else torch.float32

    def unet(self) -> nn.Module:
        """The live UNet, in ldm's and in sgm's models alike."""
        return shared.sd_model.model.diffusion_model

    @contextmanager
    def follow(self, begin_step: BeginStep) -> Iterator[None]:
        """Listens to the denoiser and to what it hands its model."""
        steps = DenoiserSteps(begin_step, first_item(self._processing()), self._item)
        script_callbacks.on_cfg_denoiser(steps.on_cfg_denoiser, name="ip_adapter")
        try:
            yield
        finally:
            script_callbacks.remove_callbacks_for_function(steps.on_cfg_denoiser)
            steps.close()

    def canvas(self) -> Canvas:
        """See `canvas_of`."""
        processing = self._processing()
        within = [job for job in (ref() for ref in self._within) if job is not None]
        return Canvas() if processing is None else canvas_of(processing, within)

    def adapter_folders(self) -> Sequence[Path]:
        """See `adapter_folders`."""
        return adapter_folders()

    def encoder_folders(self) -> Sequence[Path]:
        """See `encoder_folders`."""
        return encoder_folders()

    def feature_cache(self) -> DiskCache | None:
        """See `feature_cache`."""
        return feature_cache()

    def fail(self, error: IPAdapterError) -> None:
        """As the door was told to."""
        if self._fail is None:
            raise error
        self._fail(error)

    @contextmanager
    def full_precision(self) -> Iterator[None]:
        """Also undoes the WebUI's casting by hand, for GPUs without autocast (devices.py:188, manual_cast)."""
        cast = {kind: kind.forward for kind in devices.patch_module_list if hasattr(kind, "org_forward")}
        try:
            for kind in cast:
                kind.forward = kind.org_forward
            with without_autocast(self.device):
                yield
        finally:
            for kind, forward in cast.items():
                kind.forward = forward

    def notice(self, sentence: str) -> None:
        """See `notice`."""
        LOG.warning(sentence)
        if processing := self._processing():
            notice(processing, sentence)

    def remark(self, sentence: str) -> None:
        """Below the picture in the page, and in its parameters: of these alone an API's answer is made.

        Passes and batches come here again and again.
        """
        processing = self._processing()
        if note_down(processing.extra_generation_params if processing else {}, sentence):
            LOG.warning(sentence)
            if processing:
                processing.comment(sentence)


def notice(processing: Any, sentence: str) -> None:
    """Says it below the picture in the page, and in its parameters.

    These are published with the picture: what stands behind the first semicolon names folders.
    """
    sentence = without_folders(sentence)
    processing.comment(sentence)
    processing.extra_generation_params[ERROR_KEY] = headline(sentence)


def note_down(parameters: dict[str, Any], sentence: str) -> bool:
    """Adds it to what `parameters` say of what was set to no effect; False where they say it already."""
    said, short = parameters.get(NOTICE_KEY, ""), f"{headline(sentence)}."
    if short in said:
        return False
    parameters[NOTICE_KEY] = f"{said} {short}".strip()
    return True


@contextmanager
def alone() -> Iterator[None]:
    """While entered, no job of the WebUI runs: what is done outside of one waits for its turn."""
    with call_queue.queue_lock:
        yield


def feature_cache() -> DiskCache | None:
    """In the WebUI's folder of caches, as large as the setting says; None where that is 0."""
    limit = int(shared.opts.data.get(CACHE_SETTING, CACHE_MB)) << 20
    return DiskCache(cache_folder(), limit) if limit > 0 else None


def has_queue() -> bool:
    """Whether the page's events go through gradio's queue, by which alone one can say something more than once."""
    return not getattr(shared.cmd_opts, "no_gradio_queue", False)


def loaded_unet() -> nn.Module | None:
    """The UNet if a checkpoint is loaded; asking `shared.sd_model` would load one."""
    model = sd_models.model_data.sd_model
    return model.model.diffusion_model if model is not None else None


def wait_for_checkpoint(seconds: float = 120.0) -> None:
    """Returns when no first checkpoint is being loaded, at the latest after `seconds`.

    The WebUI answers pages before; `SdModelData.get_sd_model` holds this lock meanwhile (sd_models.py:688).
    """
    if loaded_unet() is None and sd_models.model_data.lock.acquire(timeout=seconds):
        sd_models.model_data.lock.release()
