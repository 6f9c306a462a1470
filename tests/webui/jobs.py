"""Jobs as the WebUI runs them, alone and inside each other, on the stand-in for it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import torch
from PIL import Image

from tests.webui.fake_host import FakeProcessing, FakeWebUI


def encoded(turn: int = 0) -> str:
    buffer = io.BytesIO()
    Image.linear_gradient("L").rotate(turn).convert("RGB").save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


UNIT = {"image": encoded(), "model": "ip-adapter_sd15"}


def calls(module: str, function: str) -> Callable[..., Any]:
    """A function of that name in a module of that name, which does some work."""
    space: dict[str, Any] = {"__name__": module}
    exec(f"def {function}(work, p=None, image=None):\n    return work(p) if p else work()", space)
    return space[function]


JOB = calls("modules.processing", "process_images_inner")
BATCH = calls("modules.img2img", "process_batch")
OTHER = calls("extension", "process_images_inner")


def run(webui: FakeWebUI, door: Any, *units: dict[str, Any]) -> tuple[torch.Tensor, FakeProcessing]:
    processing = FakeProcessing()
    door.process(processing, units)
    door.before_sampling(processing, units)
    latent = webui.sample()
    door.close()
    return latent, processing


def new(**about: Any) -> FakeProcessing:
    processing = FakeProcessing()
    vars(processing).update(about)
    return processing


def begin(door: Any, units: list[Any], **about: Any) -> FakeProcessing:
    processing = new(**about)
    door.process(processing, units)
    return processing


def sampled(webui: FakeWebUI, door: Any, processing: FakeProcessing, units: list[Any]) -> torch.Tensor:
    """One sampling of a job, as the WebUI does it."""
    door.before_sampling(processing, units)
    latent = webui.sample()
    door.close()
    assert (webui.hooks, webui.callbacks) == (0, [])
    return latent


def alone(webui: FakeWebUI, door: Any, units: list[Any], **about: Any) -> torch.Tensor:
    """One sampling of a job that is not inside another."""

    def job(processing: FakeProcessing) -> torch.Tensor:
        door.process(processing, units)
        return sampled(webui, door, processing, units)

    return JOB(job, new(**about))


def inside(webui: FakeWebUI, door: Any, units: list[Any], **outer: Any) -> tuple[torch.Tensor, FakeProcessing]:
    """The sampling of a job in the middle of another, and that other one."""

    def job(processing: FakeProcessing) -> tuple[torch.Tensor, FakeProcessing]:
        door.process(processing, units)
        shared = {"extra_generation_params": processing.extra_generation_params, "init_images": [MADE]}
        return alone(webui, door, units, **shared), processing

    return JOB(job, new(**outer))


MADE = Image.new("RGB", (8, 8), "gray")
RED, BLUE = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
