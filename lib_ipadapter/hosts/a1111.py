"""AUTOMATIC1111's WebUI as a host. Places in comments are of its version 1.10.1."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from modules import call_queue, devices, paths, script_callbacks, sd_models, shared
from torch import nn

from lib_ipadapter.errors import IPAdapterError, headline
from lib_ipadapter.hosts.a1111_canvas import canvas_of
from lib_ipadapter.hosts.a1111_steps import DenoiserSteps, first_item, item_at_hand
from lib_ipadapter.maths.precision import without_autocast
from lib_ipadapter.session import presets
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.host import BeginStep, Canvas
from lib_ipadapter.session.remote import Shelf

LOG = logging.getLogger("IP-Adapter")

ERROR_KEY = "IP-Adapter error"
"""Infotext key of a picture for which the adapter failed, in whole or in part."""

NOTICE_KEY = "IP-Adapter notice"
"""Infotext key of what was set to no effect."""

CACHE_SETTING = "ip_adapter_cache_mb"
CACHE_MB = 256
"""Room on the disk for encoded pictures; one takes 1.3 MB."""

EXTENSION = Path(__file__).resolve().parents[2]

COMFYUI = {Shelf.ADAPTERS: "ipadapter", Shelf.ENCODERS: "clip_vision"}
"""Folders among ComfyUI's models, by which these are known."""


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
        parameters = processing.extra_generation_params if processing else {}
        said, short = parameters.get(NOTICE_KEY, ""), f"{headline(sentence)}."
        if short in said:
            return
        LOG.warning(sentence)
        if processing:
            processing.comment(sentence)
            parameters[NOTICE_KEY] = f"{said} {short}".strip()


def notice(processing: Any, sentence: str) -> None:
    """Says it below the picture in the page, and in its parameters.

    These are published with the picture: what stands behind the first semicolon names folders.
    """
    sentence = without_folders(sentence)
    processing.comment(sentence)
    processing.extra_generation_params[ERROR_KEY] = headline(sentence)


@contextmanager
def alone() -> Iterator[None]:
    """While entered, no job of the WebUI runs: what is done outside of one waits for its turn."""
    with call_queue.queue_lock:
        yield


def feature_cache() -> DiskCache | None:
    """In the WebUI's folder of caches, as large as the setting says; None where that is 0."""
    limit = int(shared.opts.data.get(CACHE_SETTING, CACHE_MB)) << 20
    return DiskCache(cache_folder(), limit) if limit > 0 else None


def cache_folder() -> Path:
    """Beside what the WebUI itself keeps (cache.py:12)."""
    return Path(os.environ.get("SD_WEBUI_CACHE_DIR") or Path(paths.data_path, "cache")) / "ip-adapter"


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


def adapter_folders() -> list[Path]:
    """``--ip-adapter-dir`` if given, the WebUI's and the extension's ``models/ip-adapter``, ControlNet's folders.

    Where a ComfyUI's folder or its ``models`` is given, it is ``ipadapter`` in there.
    """
    given = _comfyui(_option("ip_adapter_dir"), Shelf.ADAPTERS) or [_option("ip_adapter_dir")]
    return _existing([*given, *_own(Shelf.ADAPTERS)], _controlnet_folders())


def encoder_folders() -> list[Path]:
    """``clip_vision`` below each of the places where adapters may be, and ControlNet's own folder of encoders."""
    given = _comfyui(_option("ip_adapter_encoder_dir"), Shelf.ENCODERS) or [_option("ip_adapter_encoder_dir")]
    beside = _comfyui(_option("ip_adapter_dir"), Shelf.ENCODERS)
    return _existing(
        [*given, *beside, *_own(Shelf.ENCODERS)], [folder / "clip_vision" for folder in _annotator_folders()]
    )


def preset_folder() -> Path:
    """Where presets are kept: beside the WebUI's own settings, so that they outlive the extension's folder."""
    return Path(paths.data_path, presets.FOLDER)


def without_folders(sentence: str) -> str:
    """For an answer that leaves this machine: folders go by their place below the WebUI's own, or by their name.

    Whoever may send jobs need not learn where this machine keeps its files; the log says it whole.
    """
    home = Path(paths.data_path)
    for folder in sorted({*adapter_folders(), *encoder_folders(), preset_folder()}, key=lambda one: -len(str(one))):
        shown = folder.relative_to(home) if folder.is_relative_to(home) else folder.name
        sentence = sentence.replace(str(folder), str(shown))
    return sentence


def _own(shelf: Shelf) -> list[Path]:
    """The WebUI's folder of a kind, and the extension's."""
    return [Path(paths.models_path, shelf.value), EXTENSION / "models" / shelf.value]


def _comfyui(folder: Path | None, shelf: Shelf) -> list[Path]:
    """That of a kind among a ComfyUI's models, where `folder` is it or its ``models``; empty when it is neither."""
    name = COMFYUI[shelf]
    if folder and any((folder / "models" / one).is_dir() for one in COMFYUI.values()):
        return [folder / "models" / name]
    return [folder / name] if folder and (folder / name).is_dir() else []


def _controlnet_folders() -> list[Path | None]:
    given = [_option("controlnet_dir"), _setting("control_net_models_path")]
    return [*given, Path(paths.models_path, "ControlNet"), *(home / "models" for home in _controlnet_homes())]


def _annotator_folders() -> list[Path]:
    given = [_option("controlnet_annotator_models_path"), _setting("control_net_modules_path")]
    return [*(f for f in given if f), *(home / "annotator" / "downloads" for home in _controlnet_homes())]


def _controlnet_homes() -> list[Path]:
    return [Path(paths.data_path, "extensions", name) for name in ("sd-webui-controlnet", "controlnet")]


def _option(name: str) -> Path | None:
    value = getattr(shared.cmd_opts, name, None)
    return Path(value) if value else None


def _setting(name: str) -> Path | None:
    value = shared.opts.data.get(name)
    return Path(paths.data_path, value) if value else None


def _existing(own: Sequence[Path | None], others: Sequence[Path | None]) -> list[Path]:
    """Own folders always, because messages name them; others where they exist. Each once."""
    wanted = [*(f for f in own if f), *(f for f in others if f and f.is_dir())]
    return list(dict.fromkeys(wanted))
