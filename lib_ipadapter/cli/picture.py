"""What ``generate`` does, once it is known what is wanted."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from lib_ipadapter.cli.device import open_device, within_memory
from lib_ipadapter.cli.files import check_files
from lib_ipadapter.cli.output import check_output, write_png
from lib_ipadapter.cli.unit import pictures_named, read_unit
from lib_ipadapter.cli.unread import unread
from lib_ipadapter.errors import HostError, UnitError, reason
from lib_ipadapter.hosts.diffusers import DiffusersHost, Pipeline
from lib_ipadapter.hosts.diffusers_checkpoint import Beside, read_pipeline, use_sampler
from lib_ipadapter.session import infotext
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.unit import Unit


@dataclass(frozen=True)
class Request:
    """The options of ``generate``."""

    checkpoint: Path
    adapter: Path
    encoder: Path | None
    image: Path | None
    face: str | None
    kind: str | None
    fields: list[str] | None
    prompt: str
    negative: str
    scale: float
    start: float
    end: float
    steps: int
    guidance: float
    width: int | None
    height: int | None
    seed: int | None
    sampler: str | None
    output: Path
    config: Path | None
    tokenizer: Path | None
    device: str | None

    def options(self) -> dict[str, Any]:
        """The unit's fields that have an option of their own."""
        names = ("image", "scale", "start", "end", "face", "kind")
        return {"model": self.adapter.stem, **{name: getattr(self, name) for name in names}}

    def unit(self) -> Unit:
        """The picture and how it acts. Raises `IPAdapterError`."""
        return read_unit(self.options(), self.fields or ())


def make(request: Request, say: Callable[[str], object] = print) -> tuple[Image.Image, int]:
    """Draws the picture and writes it; returns it with the seed of its noise. Raises `IPAdapterError`.

    `say`: takes what the user should know of a picture that is drawn all the same.
    """
    unit = request.unit()
    check_size(request.width, request.height)
    check_files(request.adapter, request.encoder, unit)
    check_output(request.output, pictures_named(request.options(), request.fields or ()))
    with within_memory():
        pipeline = open_pipeline(request)
        for what, text in (("prompt", request.prompt), ("negative prompt", request.negative)):
            if sentence := unread(pipeline.tokenizer, text, what):
                say(sentence)
        seed = random.randrange(1 << 32) if request.seed is None else request.seed
        picture = draw(request, pipeline, unit, seed)
    write_png(picture, request.output, parameters(request, pipeline, unit, seed, picture.size))
    return picture, seed


def check_size(*sides: int | None) -> None:
    """Raises `UnitError` for sides that latents cannot have."""
    for side in sides:
        if side is not None and side % 8:
            raise UnitError(f"Width and height must be multiples of 8, got {side}; try {round(side / 8) * 8}.")


def open_pipeline(request: Request) -> Pipeline:
    """The checkpoint on its device, in half precision on CUDA."""
    device = open_device(request.device)
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    beside = Beside(config=request.config, tokenizer=request.tokenizer)
    pipeline = read_pipeline(request.checkpoint, device, dtype, beside)
    if request.sampler:
        use_sampler(pipeline, request.sampler)
    return pipeline


def draw(request: Request, pipeline: Pipeline, unit: Unit, seed: int) -> Image.Image:
    """One picture; the pipeline shows its progress bar (tqdm) on standard error."""
    encoders = [request.encoder] if request.encoder else []
    host = DiffusersHost(pipeline, adapter_folders=[request.adapter], encoder_folders=encoders)
    chance = torch.Generator("cpu").manual_seed(seed)
    with refusals(), Generation(host, [unit]):
        made: Any = pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative or None,  # to SDXL an empty text is a text, and none is all zeros
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            latents=noise(request, pipeline, chance).to(pipeline.device, pipeline.dtype),
            generator=chance,
        )
    return made.images[0]


@contextmanager
def refusals() -> Iterator[None]:
    """While entered, what diffusers refuses, more steps than a sampler has for instance, is a `HostError`."""
    try:
        yield
    except ValueError as error:
        raise HostError(f"The picture cannot be drawn: {reason(error).rstrip('.')}.") from error


def noise(request: Request, pipeline: Pipeline, chance: torch.Generator) -> torch.Tensor:
    """What a picture begins as, ``[1, channels, height, width]``, in float32 whatever the pipeline's precision: in half
    precision some versions of torch draw other numbers, and a seed would be another picture on a GPU."""
    unet, factor = pipeline.unet.config, pipeline.vae_scale_factor
    usual = unet.sample_size if isinstance(unet.sample_size, Sequence) else [unet.sample_size] * 2
    asked = (request.height, request.width)
    sides = [given // factor if given else own for given, own in zip(asked, usual, strict=True)]
    return torch.randn(1, unet.in_channels, *sides, generator=chance)


def parameters(request: Request, pipeline: Pipeline, unit: Unit, seed: int, size: tuple[int, int]) -> str:
    """Infotext, as the WebUI writes and pastes it."""
    pairs = {
        "Steps": request.steps,
        "Sampler": type(pipeline.scheduler).__name__.removesuffix("Scheduler"),
        "CFG scale": request.guidance,
        "Seed": seed,
        "Size": f"{size[0]}x{size[1]}",
        "Model": request.checkpoint.stem,
        **infotext.write([unit], str),
    }
    return infotext.whole_text(request.prompt, request.negative, pairs)
