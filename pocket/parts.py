"""What `make pocket` is made of: each part, what it needs, and how many cores it takes.

`pocket.make` starts this file with a part's name, in as many processes as the part takes.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.model.weights_file import sha256
from pocket import ship
from pocket.adapters import ROUNDS, train_round, write_all
from pocket.diffusion import Diffusion, diffusion_loss, make_world
from pocket.stage import Plan, train
from pocket.text import Listener, text_loss
from pocket.vae import Reconstruction, vae_loss
from pocket.vision import Reader, vision_loss

WORK = Path(__file__).parents[1] / "outputs" / "pocket" / "work"
VISION = Plan("vision", 2000, 1e-3, warmup=200)
VAE = Plan("vae", 1400, 2e-3)
TEXT = Plan("text", 500, 2e-3)
CLOSE_UPS = Plan("diffusion-half", 1400, 1e-3, seed=4)
WHOLE = Plan("diffusion", 1500, 7e-4, seed=5)
VAE_FILE, TEXT_FILE = "vae.safetensors", "text-tower.pt"
SCENES = 6000
BATCHES = {True: 128, False: 64}
"""Whether they are close-ups -> pictures per step, over all processes."""


@dataclass(frozen=True)
class Part:
    """One part, run in processes of its own: a single one, or one on each core."""

    run: Callable[[], object]
    needs: tuple[str, ...] = ()
    """Parts whose results it reads."""
    shared: bool = False
    """Whether it takes both cores where there is no GPU."""


def vision() -> None:
    """The image encoder."""
    accelerator = _start(2)
    ship.vision(train(Reader(), vision_loss, VISION, WORK, accelerator).vision)  # pyright: ignore


def vae() -> None:
    """The autoencoder."""
    accelerator = _start(1)
    average = train(Reconstruction(), vae_loss(64, 8), VAE, WORK, accelerator)
    ship.finish_vae(average.vae, WORK / VAE_FILE)  # pyright: ignore


def text() -> None:
    """The text tower, as far as it can learn without pictures."""
    accelerator, tokenizer = _start(4), ship.tokenizer()
    average = train(Listener(tokenizer), text_loss(tokenizer), TEXT, WORK, accelerator)
    torch.save(average.text.state_dict(), WORK / TEXT_FILE)  # pyright: ignore


def diffusion() -> None:
    """UNet and text tower: on close-ups of 64 x 64 first, then on whole scenes."""
    accelerator, tokenizer = _start(3), ship.tokenizer()
    model = Diffusion(tokenizer)
    model.text.load_state_dict(torch.load(WORK / TEXT_FILE, weights_only=True))
    frozen = ship.read_vae(WORK / VAE_FILE).to(accelerator.device)
    begun_on = tuple((name, sha256(WORK / name)) for name in (VAE_FILE, TEXT_FILE))
    for plan, close_ups in ((CLOSE_UPS, True), (WHOLE, False)):
        with accelerator.main_process_first():  # one encodes, the others read
            world = make_world(frozen, SCENES, plan.seed, close_ups, WORK / f"{plan.name}.npy")
        batch = BATCHES[close_ups]
        loss = diffusion_loss(world, tokenizer, batch // accelerator.num_processes)
        known = replace(plan, made_of=(*begun_on, ("scenes", SCENES), ("batch", batch)))
        model.load_state_dict(train(model, loss, known, WORK, accelerator).state_dict())
    if accelerator.is_main_process:
        ship.checkpoint(model.unet, frozen, model.text)


def _start(seed: int) -> Accelerator:
    torch.manual_seed(seed)
    return Accelerator(cpu=not torch.cuda.is_available())


def _adapter_part(name: str) -> Part:
    before = ROUNDS[name].after
    needs = ("vision", "data", "diffusion", *([before] if before else []))
    return Part(partial(train_round, name, WORK), needs, shared=True)


PARTS = {
    "vision": Part(vision),
    "vae": Part(vae),
    "text": Part(text),
    "data": Part(partial(write_all, WORK)),
    "diffusion": Part(diffusion, needs=("vae", "text"), shared=True),
    **{name: _adapter_part(name) for name in ROUNDS},
}

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that files that are half written go
    try:
        PARTS[sys.argv[1]].run()
    except IPAdapterError as error:
        sys.exit(str(error))
