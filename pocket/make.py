"""`make pocket`: everything from nothing, each part resumable, in the order in which the parts need each other."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from lib_ipadapter.model.variant import Kind
from pocket import plots, ship
from pocket.adapters import train_adapter, write_all
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
SCENES = 6000
CORES = 2
"""How many there are taken to be where there is no GPU."""
PATIENCE = 0.2
"""Seconds between looks at what runs."""
BATCHES = {True: 128, False: 64}
"""Whether they are close-ups -> pictures per step, over all processes."""


@dataclass(frozen=True)
class Part:
    """One part, run in a process of its own."""

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
    ship.finish_vae(average.vae, WORK / "vae.safetensors")  # pyright: ignore


def text() -> None:
    """The text tower, as far as it can learn without pictures."""
    accelerator, tokenizer = _start(4), ship.tokenizer()
    average = train(Listener(tokenizer), text_loss(tokenizer), TEXT, WORK, accelerator)
    torch.save(average.text.state_dict(), WORK / "text-tower.pt")  # pyright: ignore


def diffusion() -> None:
    """UNet and text tower: on close-ups of 64 x 64 first, then on whole scenes."""
    accelerator, tokenizer = _start(3), ship.tokenizer()
    model = Diffusion(tokenizer)
    model.text.load_state_dict(torch.load(WORK / "text-tower.pt", weights_only=True))
    frozen = ship.read_vae(WORK / "vae.safetensors").to(accelerator.device)
    for plan, close_ups in ((CLOSE_UPS, True), (WHOLE, False)):
        with accelerator.main_process_first():  # one encodes, the others read
            world = make_world(frozen, SCENES, plan.seed, close_ups, WORK / f"{plan.name}.npy")
        loss = diffusion_loss(world, tokenizer, BATCHES[close_ups] // accelerator.num_processes)
        model.load_state_dict(train(model, loss, plan, WORK, accelerator).state_dict())
    if accelerator.is_main_process:
        ship.checkpoint(model.unet, frozen, model.text)


def _start(seed: int) -> Accelerator:
    torch.manual_seed(seed)
    return Accelerator(cpu=not torch.cuda.is_available())


PARTS = {
    "vision": Part(vision),
    "vae": Part(vae),
    "text": Part(text),
    "data": Part(lambda: write_all(WORK)),
    "diffusion": Part(diffusion, needs=("vae", "text"), shared=True),
    "plus": Part(lambda: train_adapter(Kind.PLUS, WORK), needs=("vision", "data", "diffusion")),
    "base": Part(lambda: train_adapter(Kind.BASE, WORK), needs=("vision", "data", "diffusion")),
}


def main(arguments: list[str]) -> int:
    """Runs the parts that are named, or all of them."""
    if unknown := [name for name in arguments if name not in PARTS]:
        print(f"There is no part {unknown[0]!r}; the parts are {', '.join(PARTS)}.", file=sys.stderr)
        return 2
    if len(arguments) == 1:
        PARTS[arguments[0]].run()
        return 0
    if not run_all(with_data(arguments) if arguments else list(PARTS)):
        return 1
    plots.write_curves(WORK)
    return 0


def with_data(names: Sequence[str]) -> list[str]:
    """Each once; and what both adapters are trained on, or each would write it."""
    several = {"base", "plus"} <= {*names}
    return list(dict.fromkeys([*(["data"] if several else []), *names]))


def run_all(names: Sequence[str]) -> bool:
    """Each once those that it needs are done; on a GPU all that can go, else as many as there is room for, two cores.

    Returns whether all went well. After a failure nothing is begun, and what runs is waited for.
    """
    waiting, well = list(names), True
    running: dict[str, subprocess.Popen[bytes]] = {}
    while running or (waiting and well):
        ready = (name for name in waiting if well and _ready(name, waiting, list(running)))
        if name := next(ready, None):
            waiting.remove(name)
            running[name] = subprocess.Popen(_command(name), env=_environment())
            continue
        time.sleep(PATIENCE)
        for name in [name for name, process in running.items() if process.poll() is not None]:
            well &= running.pop(name).returncode == 0
    return well


def _ready(name: str, waiting: Sequence[str], running: Sequence[str]) -> bool:
    if {*waiting, *running} & {*PARTS[name].needs}:
        return False
    return torch.cuda.is_available() or sum(CORES if PARTS[part].shared else 1 for part in (*running, name)) <= CORES


def _command(name: str) -> list[str]:
    alone = [sys.executable, "-m", "pocket.make", name]
    if not PARTS[name].shared or torch.cuda.is_available():
        return alone
    return [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={CORES}", *alone[1:]]


def _environment() -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
