"""Adapters for the pocket model, trained by the project's own trainer on pictures in a folder."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

from lib_ipadapter.model.variant import Kind
from lib_ipadapter.training.config import Decay, TrainConfig, Weighting
from lib_ipadapter.training.run import train
from pocket import ship
from pocket.captions import caption
from pocket.diffusion import close_up
from pocket.draw import close_up_of, draw
from pocket.scenes import SIZE, sample_scene, with_other_shape

COUNT = 6000
OTHER_SHAPE = 0.35
"""Share of entries whose reference has the look, but another shape: there the text names the shape, and wins."""
NOTHING_SAID = 0.5
"""Share of the other entries whose caption is empty: there the reference alone says everything. Captions are not
dropped by lot, because that would leave a reference of another shape without the text that says so."""
RESAMPLER_DIM = 128
"""Twice the text's width, two heads: as wide as the text it learned at half the pace of base."""

RUN = TrainConfig(
    data=Path(),
    checkpoint=ship.CHECKPOINT,
    tokenizer=ship.TOKENIZER,
    encoder=ship.ENCODER,
    learning_rate=3e-3,
    warmup=50,
    decay=Decay.COSINE,
    max_grad_norm=1.0,
    weighting=Weighting.EARLY,
    empty_captions=True,
    drop_text=0.0,
    eval_every=200,
    save_every=200,
    keep=1,
    sample_every=0,
    full_precision=True,
)


def train_adapter(kind: Kind, work: Path) -> Path:
    """On close-ups first, then on whole scenes; the half precision result goes to the weights."""
    half = replace(
        RUN,
        data=write_data(work / "data-half", half=True, seed=11),
        output=work / f"{kind.value}-half",
        kind=kind,
        resolution=SIZE // 2,
        batch_size=32,
        steps=1500,
        resampler_dim=RESAMPLER_DIM if kind is Kind.PLUS else None,
    )
    whole = replace(
        RUN,
        data=write_data(work / "data", half=False, seed=12),
        output=work / kind.value,
        warm_start=_finish(half),
        learning_rate=2e-3,
        resolution=SIZE,
        batch_size=32,
        steps=1200,
        full_precision=False,
    )
    return ship.adapter(kind, _finish(whole))


def _finish(config: TrainConfig) -> Path:
    """Begins, goes on with, or finds done."""
    return train(replace(config, resume=any(config.output.glob("state-*"))))


def write_data(folder: Path, *, half: bool, seed: int) -> Path:
    """Pictures, references where they are others, and ``list.jsonl``; returns its path."""
    path = folder / "list.jsonl"
    if path.is_file():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    lot = random.Random(seed)
    lines = [json.dumps(_entry(folder, f"{number:05d}", half, lot)) for number in range(COUNT)]
    temporary = folder / "list.tmp"
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return temporary.replace(path)


def _entry(folder: Path, name: str, half: bool, lot: random.Random) -> dict[str, str]:
    """Drawn, with a caption; every other one with a reference of its own."""
    scene = close_up(lot) if half else sample_scene(lot)
    other = lot.random() < OTHER_SHAPE
    (close_up_of if half else draw)(scene).save(folder / f"{name}.png")
    silent = not other and lot.random() < NOTHING_SAID
    text = "" if silent else caption(scene, lot, shape=1.0 if other else 0.5, places=not half)
    found = {"image_file": f"{name}.png", "text": text}
    if other or half:  # a close-up's reference is a whole picture all the same
        draw(with_other_shape(scene, lot) if other else scene).save(folder / f"{name}-reference.png")
        found["cond_image"] = f"{name}-reference.png"
    return found
