"""What ``generate`` does, once it is known what is wanted."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lib_ipadapter.cli.unit import read_unit
from lib_ipadapter.errors import AmbiguousError, HostError, UnitError
from lib_ipadapter.hosts.diffusers import DiffusersHost, Pipeline
from lib_ipadapter.hosts.diffusers_checkpoint import Beside, read_pipeline, use_sampler
from lib_ipadapter.model.encoder_sizes import read_sizes
from lib_ipadapter.model.identity import identify
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

    def unit(self) -> Unit:
        """The picture and how it acts. Raises `IPAdapterError`."""
        names = ("image", "scale", "start", "end", "face", "kind")
        options = {"model": self.adapter.stem, **{name: getattr(self, name) for name in names}}
        return read_unit(options, self.fields or ())


def make(request: Request) -> tuple[Image.Image, int]:
    """Draws the picture and writes it; returns it with the seed of its noise. Raises `IPAdapterError`."""
    unit = request.unit()
    check_output(request.output)
    check_size(request.width, request.height)
    check_files(request.adapter, request.encoder, unit)
    pipeline = open_pipeline(request)
    seed = random.randrange(1 << 32) if request.seed is None else request.seed
    picture = draw(request, pipeline, unit, seed)
    write(picture, request.output, parameters(request, pipeline, unit, seed, picture.size))
    return picture, seed


def check_output(path: Path) -> None:
    """Raises `UnitError` for a name that promises another format: parameters go into a PNG."""
    if path.suffix.lower() != ".png":
        raise UnitError(f"A PNG is written, and {path} does not end with .png; choose another --output.")


def check_size(*sides: int | None) -> None:
    """Raises `UnitError` for sides that latents cannot have."""
    for side in sides:
        if side is not None and side % 8:
            raise UnitError(f"Width and height must be multiples of 8, got {side}; try {round(side / 8) * 8}.")


def write(picture: Image.Image, path: Path, text: str) -> None:
    """A PNG with its parameters where the WebUI looks for them. Raises `HostError`."""
    info = PngInfo()
    info.add_text("parameters", text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path, format="PNG", pnginfo=info)
    except OSError as error:
        raise HostError(f"{path} cannot be written ({error.strerror}); choose another --output.") from error


def check_files(adapter: Path, encoder: Path | None, unit: Unit) -> None:
    """What headers tell, before gigabytes are read. Raises `CheckpointError` or `UnitError`."""
    try:
        variant = identify(adapter, unit.choice)
    except AmbiguousError as error:
        raise error.asking("give --kind") from None
    needed = f"{variant.encoder} ({variant.feature_label})"
    if not variant.feature or (unit.embeds and not unit.composition_image):
        return
    if encoder is None:
        raise UnitError(f"{adapter.name} needs an image encoder, {needed}: name it by --encoder.")
    sizes = read_sizes(encoder)
    if not sizes.fits(variant):
        raise UnitError(f"{encoder.name} is not the image encoder of {adapter.name}: expected {needed}, got {sizes}.")


def open_pipeline(request: Request) -> Pipeline:
    """The checkpoint on its device, in half precision on CUDA."""
    device = open_device(request.device or best_device())
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    beside = Beside(config=request.config, tokenizer=request.tokenizer)
    pipeline = read_pipeline(request.checkpoint, device, dtype, beside)
    if request.sampler:
        use_sampler(pipeline, request.sampler)
    return pipeline


def open_device(name: str) -> torch.device:
    """The device called `name`. Raises `HostError` when it is not there."""
    try:
        return torch.zeros(1, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise HostError(f"There is no device {name!r} on this machine; the best here is {best_device()!r}.") from error


def best_device() -> str:
    """The fastest of what this machine has."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def draw(request: Request, pipeline: Pipeline, unit: Unit, seed: int) -> Image.Image:
    """One picture; the pipeline shows its progress bar (tqdm) on standard error."""
    encoders = [request.encoder] if request.encoder else []
    host = DiffusersHost(pipeline, adapter_folders=[request.adapter], encoder_folders=encoders)
    lot = torch.Generator("cpu").manual_seed(seed)
    with Generation(host, [unit]):
        made: Any = pipeline(
            prompt=request.prompt,
            negative_prompt=request.negative or None,  # to SDXL an empty text is a text, and none is all zeros
            num_inference_steps=request.steps,
            guidance_scale=request.guidance,
            width=request.width,
            height=request.height,
            latents=noise(request, pipeline, lot).to(pipeline.device, pipeline.dtype),
            generator=lot,
        )
    return made.images[0]


def noise(request: Request, pipeline: Pipeline, lot: torch.Generator) -> torch.Tensor:
    """What a picture begins as, ``[1, channels, height, width]``, in float32 whatever the pipeline's precision: in half
    precision some versions of torch draw other numbers, and a seed would be another picture on a GPU."""
    unet, factor = pipeline.unet.config, pipeline.vae_scale_factor
    usual = unet.sample_size if isinstance(unet.sample_size, Sequence) else [unet.sample_size] * 2
    asked = (request.height, request.width)
    sides = [given // factor if given else own for given, own in zip(asked, usual, strict=True)]
    return torch.randn(1, unet.in_channels, *sides, generator=lot)


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
