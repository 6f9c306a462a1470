"""What is not trained: the checkpoint and the image encoder, each on the device only while it is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.hosts.diffusers_checkpoint import Beside, Pipeline, read_pipeline
from lib_ipadapter.model.picture import LONGEST, as_rgb, encoder_view, pixel_values, window
from lib_ipadapter.model.variant import Feature
from lib_ipadapter.model.vision import ImageEncoder, features_in
from lib_ipadapter.training.config import Precision, TrainConfig

Item = dict[str, Tensor]
"""Tensors of one picture or caption, without a batch dimension."""


def choose_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """Of the frozen parts. Raises `TrainingError` for a precision that the device does not have."""
    if precision is Precision.FP16 and device.type != "cuda":
        raise TrainingError(f"fp16 needs a CUDA device, this is {device.type}; give --precision no or bf16.")
    if precision is Precision.AUTO and device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return {Precision.BF16: torch.bfloat16, Precision.FP16: torch.float16}.get(precision, torch.float32)


class Frozen:
    """A checkpoint and an encoder without gradients."""

    def __init__(self, pipeline: Pipeline, encoder: ImageEncoder, device: torch.device, dtype: torch.dtype) -> None:
        self.pipeline: Any = pipeline
        self.encoder = encoder
        if device.type == "cpu":
            encoder.model.float()  # half precision is many times slower there
        self.dtype = dtype
        self.unet: Any = pipeline.unet.requires_grad_(False).eval().to(device)
        # With its index, as parameters name it: to torch, cuda and cuda:0 are two.
        self.device: torch.device = next(self.unet.parameters()).device
        # SDXL's overflows in fp16; latents are made once, so that float32 costs nothing.
        self.vae: Any = pipeline.vae.requires_grad_(False).eval().float()
        texts = [getattr(pipeline, name, None) for name in ("text_encoder", "text_encoder_2")]
        self.text_encoders: list[nn.Module] = [text.requires_grad_(False).eval() for text in texts if text is not None]
        self.pooled = len(self.text_encoders) == 2
        """SDXL: the UNet also wants the pooled text and the sizes of the picture."""
        self.prediction = str(pipeline.scheduler.config.get("prediction_type", "epsilon"))
        if self.prediction not in ("epsilon", "v_prediction"):
            raise TrainingError(f"The checkpoint predicts {self.prediction!r}; expected epsilon or v_prediction.")
        self.alphas: Tensor = pipeline.scheduler.alphas_cumprod.float()

    @classmethod
    def read(cls, config: TrainConfig, device: torch.device) -> Frozen:
        """From the paths in `config`. Raises `IPAdapterError`."""
        assert config.checkpoint
        assert config.encoder
        dtype = choose_dtype(config.precision, device)
        beside = Beside(config=config.config, tokenizer=config.tokenizer)
        pipeline = read_pipeline(config.checkpoint, torch.device("cpu"), dtype, beside, vae_dtype=torch.float32)
        if getattr(pipeline, "tokenizer", None) is None:
            raise TrainingError(f"{config.checkpoint} has no tokenizer; captions cannot be read without it.")
        return cls(pipeline, ImageEncoder.read(config.encoder), device, dtype)

    @torch.no_grad()
    def encode_latents(self, images: Sequence[Image.Image], size: int) -> list[Item]:
        """``moments``: mean and deviation of the scaled latent, ``[8, h, w]``; ``size``: SDXL's conditioning, ``[6]``.

        The deviation is kept, because training draws a latent anew each time.
        """
        squares = [square(as_rgb(image), size) for image in images]
        with self.visiting(self.vae):
            pixels = torch.cat([to_pixels(picture) for picture, _ in squares]).to(self.device)
            found = self.vae.encode(pixels).latent_dist
            moments = torch.cat([found.mean - self._shift, found.std], dim=1) * self.vae.config.scaling_factor
        return [{"moments": m.cpu(), "size": s} for m, (_, s) in zip(moments, squares, strict=True)]

    @torch.no_grad()
    def decode(self, latents: Tensor) -> list[Image.Image]:
        """Latents, ``[rows, 4, h, w]``, to pictures; one by one, for each takes 3 GiB at 1024 x 1024."""
        with self.visiting(self.vae):
            wanted = latents.float() / self.vae.config.scaling_factor + self._shift
            pixels = torch.cat([self.vae.decode(latent).sample for latent in wanted.split(1)])
        array = ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).cpu().numpy()
        return [Image.fromarray(picture) for picture in array]

    @torch.no_grad()
    def encode_features(self, images: Sequence[Image.Image | None], feature: Feature) -> list[Item]:
        """``features`` of each picture as an adapter wants them; None is the zero pixel tensor."""
        side = self.encoder.image_size
        views = [pixel_values(encoder_view(i, side)) if i else torch.zeros(1, 3, side, side) for i in images]
        with self.visiting(self.encoder.model):
            dtype = next(self.encoder.model.parameters()).dtype
            out = self.encoder.model(torch.cat(views).to(self.device, dtype), output_hidden_states=True)
        return [{"features": row.to(self.dtype).cpu()} for row in features_in(out).get(feature)]

    def nothing(self, feature: Feature) -> Item:
        """What training shows for a dropped picture: a zero embedding, or the grid of a zero pixel tensor."""
        made = self.encode_features([None], feature)[0]
        return {"features": torch.zeros_like(made["features"])} if feature is Feature.IMAGE_EMBEDS else made

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> list[Item]:
        """``text``, ``[77, width]``, and for SDXL ``pooled``, ``[1280]``."""
        with self.visiting(*self.text_encoders):
            found = self.pipeline.encode_prompt(
                prompt=list(texts),
                device=self.device,
                num_images_per_prompt=1,
                do_classifier_free_guidance=False,
            )
        parts = {"text": found[0], "pooled": found[2]} if self.pooled else {"text": found[0]}
        stacked = {name: part.to(self.dtype).cpu() for name, part in parts.items()}
        return [{name: part[row].clone() for name, part in stacked.items()} for row in range(len(texts))]

    def blank(self, side: int, feature: Feature) -> tuple[Item, Item, Item]:
        """Latents of a black square, features of no picture, and no text: as large as any others."""
        latents = self.encode_latents([Image.new("RGB", (side, side))], size=side)[0]
        return latents, self.nothing(feature), self.encode_texts([""])[0]

    def predict(self, latents: Tensor, timesteps: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """The UNet's answer in float32, ``[rows, 4, h, w]``. `given`: ``text`` and for SDXL ``pooled`` and ``size``."""
        more: dict[str, Any] = {}
        if self.pooled:
            more["added_cond_kwargs"] = {"text_embeds": given["pooled"], "time_ids": given["size"]}
        return self.unet(latents.to(self.dtype), timesteps, given["text"], return_dict=False, **more)[0].float()

    @contextmanager
    def visiting(self, *modules: nn.Module) -> Iterator[None]:
        """The modules are on the device while entered; those that came for this leave again."""
        visitors = [module for module in modules if next(module.parameters()).device != self.device]
        for module in visitors:
            module.to(self.device)
        try:
            yield
        finally:
            for module in visitors:
                module.to("cpu")

    @property
    def _shift(self) -> float:
        return getattr(self.vae.config, "shift_factor", None) or 0.0

    @property
    def nbytes(self) -> int:
        """Memory that stays taken on the device, in bytes."""
        return sum(p.nbytes for p in self.unet.parameters())


def read_picture(path: Any) -> Image.Image:
    """The picture at `path`, decoded. Raises `TrainingError` for anything that goes wrong."""
    try:
        with Image.open(path) as image:
            return as_rgb(image)
    except Exception as error:  # Pillow's formats fail each in a way of its own
        raise TrainingError(f"{path} is not a picture that can be read ({error}).") from error


def square(image: Image.Image, size: int) -> tuple[Image.Image, Tensor]:
    """Short side to `size`, centre crop; and original size, crop, target size as SDXL wants them, ``[6]``."""
    ratio, longest = size / min(image.size), LONGEST * min(image.size)
    left, top = ((max(size, round(side * ratio)) - size) // 2 for side in image.size)
    conditioning = torch.tensor([image.height, image.width, top, left, size, size], dtype=torch.float32)
    # A thread (1 x 10000) that is scaled whole fills memory.
    kept = (min(image.width, longest), min(image.height, longest))
    middle = window(image, kept, (0, 0, *image.size))[0]
    scaled = middle.resize([max(size, round(side * ratio)) for side in middle.size], Image.Resampling.LANCZOS)
    return window(scaled, (size, size), (0, 0, *scaled.size))[0], conditioning


def to_pixels(image: Image.Image) -> Tensor:
    """RGB to ``[1, 3, height, width]``, from -1 to 1."""
    flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return flat.reshape(1, image.height, image.width, 3).permute(0, 3, 1, 2) / 127.5 - 1
