"""Adapters for the pocket model, trained by the project's own trainer on pictures in a folder."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.model.weights_file import sha256
from lib_ipadapter.model.writing import whole
from lib_ipadapter.training.accelerator import LAUNCHED
from lib_ipadapter.training.config import Decay, Precision, TrainConfig, Weighting
from lib_ipadapter.training.run import train
from pocket import ship
from pocket.captions import caption
from pocket.diffusion import close_up
from pocket.draw import close_up_of, draw
from pocket.records import begin
from pocket.scenes import SIZE, Scene, sample_scene, with_other_shape

COUNT = 6000
OTHER_SHAPE = 0.35
"""Share of entries whose reference has the look, but another shape: there the text names the shape, and wins."""
SILENT = 0.5
"""Share of the other entries whose caption is empty: there the reference alone says everything. Captions are not
dropped by lot, because that would leave a reference of another shape without the text that says so."""
RESAMPLER_DIM = 128
"""Twice the text's width, two heads: as wide as the text it learned at half the pace of base."""

RUN = TrainConfig(
    data=Path(),
    checkpoint=ship.CHECKPOINT,
    tokenizer=ship.TOKENIZER,
    encoder=ship.ENCODER,
    warmup=50,
    decay=Decay.COSINE,
    max_grad_norm=1.0,
    weighting=Weighting.EARLY,
    empty_captions=True,
    drop_text=0.0,
    precision=Precision.NO,  # on a GPU as on a CPU
    eval_every=200,
    save_every=200,
    keep=1,
    sample_every=0,
)


@dataclass(frozen=True)
class Round:
    """One run of the trainer."""

    name: str
    kind: Kind
    steps: int
    learning_rate: float = 3e-3
    batch_size: int = 64
    """Over all processes."""
    close_ups: bool = True
    """On close-ups, which cost a quarter, or on whole scenes."""
    seed: int = 0
    after: str | None = None
    """The round that it goes on from; of a kind the last is what ships."""


ROUNDS = {
    one.name: one
    for one in (
        Round("base-close", Kind.BASE, 1500, batch_size=32),
        Round("base-whole", Kind.BASE, 4000, batch_size=32, close_ups=False, seed=1, after="base-close"),
        Round("plus-close", Kind.PLUS, 4000),
        Round("plus-whole", Kind.PLUS, 7000, close_ups=False, seed=1, after="plus-close"),
    )
}
"""A Resampler must first find out what is where in the grid: plus takes longer, on close-ups above all."""


def train_round(name: str, work: Path) -> None:
    """Begins a round, goes on with it, or finds it done; what a kind's last has reached goes to the weights.

    Raises `TrainingError` where it was begun by another plan, or on other models.
    """
    one, output = ROUNDS[name], work / name
    processes, first = _processes()
    before = work / one.after / "adapter.safetensors" if one.after else None
    begun_on = ship.contents() | ({str(one.after): sha256(before)} if before else {})
    if first:
        begin(work / f"{name}.json", asdict(one) | begun_on)
    trained = train(
        replace(
            RUN,
            data=write_data(work, close_ups=one.close_ups),
            output=output,
            kind=None if before else one.kind,
            resampler_dim=RESAMPLER_DIM if one.kind is Kind.PLUS and not before else None,
            warm_start=before,
            resume=True,
            learning_rate=one.learning_rate,
            batch_size=one.batch_size // processes,
            resolution=SIZE // 2 if one.close_ups else SIZE,
            steps=one.steps,
            seed=one.seed,
            full_precision=not _ships(one),
            cuda_graph=torch.cuda.is_available(),
            cpu=not torch.cuda.is_available(),
        )
    )
    if _ships(one) and first:
        ship.adapter(one.kind, trained)


def _processes() -> tuple[int, bool]:
    """How many there are, and whether this is the first. Without a launcher's variables the others are not about us."""
    if LAUNCHED not in os.environ:
        return 1, True
    return int(os.environ["WORLD_SIZE"]), os.environ["RANK"] == "0"


def _ships(one: Round) -> bool:
    return one.name not in {other.after for other in ROUNDS.values()}


def write_all(work: Path) -> None:
    """What both adapters are trained on, before either begins."""
    for close_ups in (True, False):
        write_data(work, close_ups=close_ups)


def write_data(work: Path, *, close_ups: bool) -> Path:
    """Pictures, references where they are others, and ``list.jsonl``; returns its path."""
    folder = work / ("data-half" if close_ups else "data")
    path = folder / "list.jsonl"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    every = enumerate(entries(close_ups))
    lines = [json.dumps(_write(entry, folder / f"{number:05d}", close_ups)) for number, entry in every]
    with whole(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@dataclass(frozen=True)
class Entry:
    """One example."""

    scene: Scene
    text: str
    reference: Scene | None
    """Where it is not the scene itself."""


def entries(close_ups: bool) -> Iterator[Entry]:
    """All that an adapter is trained on, close-ups or whole scenes."""
    lot = random.Random(11 if close_ups else 12)
    for _ in range(COUNT):
        scene = close_up(lot) if close_ups else sample_scene(lot)
        other = lot.random() < OTHER_SHAPE
        silent = not other and lot.random() < SILENT
        text = "" if silent else caption(scene, lot, shape=1.0 if other else 0.5, places=not close_ups)
        yield Entry(scene, text, with_other_shape(scene, lot) if other else None)


def _write(entry: Entry, path: Path, close_ups: bool) -> dict[str, str]:
    """Drawn, and its line in the list."""
    (close_up_of if close_ups else draw)(entry.scene).save(path.with_suffix(".png"))
    found = {"image_file": f"{path.name}.png", "text": entry.text}
    if entry.reference or close_ups:  # a close-up's reference is a whole picture all the same
        draw(entry.reference or entry.scene).save(path.with_name(f"{path.name}-reference.png"))
        found["cond_image"] = f"{path.name}-reference.png"
    return found
