"""A run from its configuration: models, data, cache, loop."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils.dataclasses import AutocastKwargs, GradientAccumulationPlugin
from accelerate.utils.operations import gather_object
from tqdm.auto import tqdm

from lib_ipadapter import __version__
from lib_ipadapter.errors import TrainingError
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.model.vision import EncoderSizes
from lib_ipadapter.model.writing import whole
from lib_ipadapter.training.adapters import prepare
from lib_ipadapter.training.cache import Cache, Filler
from lib_ipadapter.training.check import Example, Report, data_hash, examine
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.frozen import Frozen, choose_dtype
from lib_ipadapter.training.logs import Curves
from lib_ipadapter.training.loop import Loop
from lib_ipadapter.training.objective import Batches
from lib_ipadapter.training.samples import Samples
from lib_ipadapter.training.saving import Position, adapter_path, newest_state, step_of
from lib_ipadapter.training.stream import Stream

LOG = logging.getLogger(__name__)
Say = Callable[[str], None]


def train(config: TrainConfig, say: Say = print) -> Path:
    """Trains an adapter; returns the path of the last one saved. `say` takes sentences for people.

    Raises `IPAdapterError`. Under ``accelerate launch`` every process calls this.
    """
    accelerator = open_accelerator(config)
    try:
        tell = say if accelerator.is_main_process else _silent
        done = finished(config)
        if done is None:
            loop = build(config, accelerator, tell)
            _go(loop, accelerator, tell)
            done = loop.position.step
        else:
            tell(f"All {config.steps} steps are done already.")
        final = config.output / "adapter.safetensors"
        if accelerator.is_main_process:
            with whole(final, TrainingError) as part:
                shutil.copyfile(adapter_path(config.output, done), part)
        accelerator.wait_for_everyone()
        tell(f"Done: {final}")
        return final
    finally:
        accelerator.end_training()
        AcceleratorState._reset_state(reset_partial_state=True)


def open_accelerator(config: TrainConfig) -> Accelerator:
    """Nothing is autocast: what is trained computes in float32, frozen parts in their own. fp16 scales the loss."""
    device = PartialState(cpu=config.cpu).device
    assert device is not None
    half = choose_dtype(config.precision, device) is torch.float16
    accelerator = Accelerator(
        cpu=config.cpu,
        mixed_precision="fp16" if half else "no",
        # As a plugin, because a launcher's environment would take precedence over the plain number.
        gradient_accumulation_plugin=GradientAccumulationPlugin(config.accumulation, sync_with_dataloader=False),
        kwargs_handlers=[AutocastKwargs(enabled=False)],
    )
    plugin = accelerator.state.deepspeed_plugin
    if config.cuda_graph and (plugin or accelerator.num_processes > 1 or device.type != "cuda"):
        raise TrainingError(
            f"--cuda-graph needs a single process on a CUDA device, without DeepSpeed; this is"
            f" {accelerator.num_processes} on {device.type}{' with DeepSpeed' if plugin else ''}. Leave it out."
        )
    if plugin:
        if half:  # DeepSpeed would turn what is trained, and its optimiser's steps, to fp16
            raise TrainingError(
                "DeepSpeed with fp16 would train in half precision, where small steps are lost; give --precision bf16"
                " or no, or launch without DeepSpeed."
            )
        plugin.deepspeed_config["train_micro_batch_size_per_gpu"] = config.batch_size
        plugin.deepspeed_config["gradient_accumulation_steps"] = config.accumulation
        plugin.deepspeed_config["gradient_clipping"] = config.max_grad_norm  # accelerate's "auto" would be 1
    return accelerator


def build(config: TrainConfig, accelerator: Accelerator, tell: Say) -> Loop:
    """Everything that a run needs, read and encoded."""
    check_models(config)
    check_output(config)
    tell(f"Looking at {config.data}")
    report = examine(config, thorough=False)
    frozen = Frozen.read(config, accelerator.device)
    if config.gradient_checkpointing:
        frozen.unet.enable_gradient_checkpointing()
        frozen.unet.train()  # older diffusers checkpoint only then; a Stable Diffusion UNet has no dropout
    adapter = prepare(frozen.unet, frozen.encoder.sizes, config)
    cache, report = encode(config, accelerator, frozen, adapter.variant, report)
    tell(str(report))
    trained, held = divide(report.examples, config)
    if len(trained) == len(report.examples):
        tell("No entry is kept for evaluation: curves and samples are of entries that are trained on.")
    stream = Stream.of(config, len(trained), len(frozen.alphas))
    held_stream = Stream(config.seed, len(held), len(frozen.alphas))
    loop = Loop(
        config=config,
        accelerator=accelerator,
        adapter=adapter,
        source=Batches(trained, cache, stream, frozen),
        held_out=Batches(held, cache, held_stream, frozen),
        samples=Samples(held[: config.sample_count], cache, frozen, config),
        position=position_of(config, trained),
        metadata=facts(config, adapter.variant, frozen.encoder.sizes, report),
    )
    _resume(loop, tell)
    _write_facts(config, report, accelerator)
    return loop


def encode(
    config: TrainConfig, accelerator: Accelerator, frozen: Frozen, variant: Variant, report: Report
) -> tuple[Cache, Report]:
    """The filled cache, and what is left of the data after every picture was really read."""
    folder = config.cache or (config.output / "cache" if accelerator.num_processes > 1 else None)
    assert variant.feature is not None, "only adapters with an image encoder are trained"
    cache = Cache.open(frozen, variant.feature, config, folder)
    rank, processes = accelerator.process_index, accelerator.num_processes
    progress = partial(_bar, disable=not accelerator.is_main_process)
    filler = Filler(cache, frozen, config, split=lambda items: items[rank::processes], progress=progress)
    unread = filler.fill(report, variant.feature)
    if processes > 1:
        unread = gather_object(unread)
    report = report.without(unread)
    if not report.examples:
        raise TrainingError(f"{config.data} holds nothing to train on: {report}.")
    return cache, report


def divide(examples: Sequence[Example], config: TrainConfig) -> tuple[list[Example], list[Example]]:
    """Examples to train on, and to evaluate on; the same ones where there are too few to keep some back.

    Contents choose and not the seed: a run that goes on from the adapter of another is not shown what that one saw.
    A picture is on one side with all of its captions and references.
    """
    count = min(64, len(examples) // 20) if config.holdout is None else config.holdout
    order = sorted(range(len(examples)), key=lambda i: examples[i].identity)
    pictures = [examples[i].image_hash for i in order]
    while 0 < count < len(order) and pictures[count] == pictures[count - 1]:
        count += 1
    if count >= len(examples) and config.holdout is None:
        count = 0
    if count >= len(examples):
        raise TrainingError(
            f"--holdout {config.holdout} leaves nothing to train on: there are {len(examples)} usable entries, of"
            f" {len(set(pictures))} pictures."
        )
    held = [examples[i] for i in order[:count]] or [examples[i] for i in order[:64]]
    return [examples[i] for i in sorted(order[count:])], held


def position_of(config: TrainConfig, trained: Sequence[Example]) -> Position:
    """The beginning of a run, and what it was told that a run which goes on should be told too."""
    assert config.checkpoint
    assert config.encoder
    return Position(
        seed=config.seed,
        data_hash=data_hash(trained),
        checkpoint=config.checkpoint.resolve().name,
        encoder=config.encoder.resolve().name,
        resolution=config.resolution,
        weighting=config.weighting.value,
    )


def finished(config: TrainConfig) -> int | None:
    """The last step of a run that has none left to make; seen before anything is read.

    Raises `TrainingError` where its adapter is gone.
    """
    state = newest_state(config.output) if config.resume else None
    if state is None or step_of(state) < config.steps:
        return None
    saved = adapter_path(config.output, step_of(state))
    if not saved.is_file():
        raise TrainingError(f"All {config.steps} steps are done, and {saved} is gone; give more --steps.")
    return step_of(state)


def check_models(config: TrainConfig) -> None:
    """Raises `TrainingError` where one is not given, before all data is read."""
    if missing := [name for name in ("checkpoint", "encoder") if getattr(config, name) is None]:
        raise TrainingError(f"Training needs --{' and --'.join(missing)}; only --check does without.")
    for name in ("checkpoint", "encoder"):
        if not getattr(config, name).exists():
            raise TrainingError(f"There is no {getattr(config, name)}, which --{name} names.")


def check_output(config: TrainConfig) -> None:
    """Raises `TrainingError` where a run cannot write, would write over another one, or has none to go on from."""
    there = next(path for path in (config.output, *config.output.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise TrainingError(f"--output {config.output} cannot be made: {there} is no folder to write to; give another.")
    begun = any(config.output.glob("state-*"))
    if begun and not config.resume:
        raise TrainingError(f"{config.output} holds a run already; give --resume to go on, or another --output.")
    if config.resume and not begun:
        raise TrainingError(
            f"--resume goes on from a state-* in {config.output}, and there is none; give the --output of the run to"
            " go on with, or leave --resume out to begin."
        )


def facts(config: TrainConfig, variant: Variant, sizes: EncoderSizes, report: Report) -> dict[str, str]:
    """What a saved adapter says of itself, besides steps."""
    assert config.checkpoint
    assert config.encoder
    return {
        "base": variant.base.value,
        "variant": variant.kind.value,
        "tokens": str(sizes.tokens(variant)),
        "encoder": f"{config.encoder.name}: {variant.encoder}",
        "checkpoint": config.checkpoint.name,
        "resolution": str(config.resolution),
        "examples": str(len(report.examples)),
        "data_hash": report.data_hash,
        "warm_start": config.warm_start.name if config.warm_start else "",
        "trainer": f"sd-webui-ip-adapter {__version__}",
    }


def _resume(loop: Loop, tell: Say) -> None:
    """Where asked. Raises `TrainingError`; nothing of the run has been written over by then."""
    if state := newest_state(loop.config.output) if loop.config.resume else None:
        loop.resume(state)
        tell(f"Going on from {state} at step {loop.position.step}")


def _go(loop: Loop, accelerator: Accelerator, tell: Say) -> None:
    """Says what it will take, and runs. Raises `TrainingError`."""
    tell(str(loop.estimate()))
    if accelerator.is_main_process:
        loop.saves.forget_after(loop.position.step)
    curves = Curves(loop.config.output, loop.position.step) if accelerator.is_main_process else None
    try:
        loop.run(curves)
    finally:
        if curves:
            curves.close()


def _write_facts(config: TrainConfig, report: Report, accelerator: Accelerator) -> None:
    if accelerator.is_main_process:
        config.output.mkdir(parents=True, exist_ok=True)
        config.write(config.output / "config.json")
        skipped = "".join(f"{item}\n" for item in report.rejected)
        (config.output / "skipped.txt").write_text(skipped, encoding="utf-8", errors="backslashreplace")


def _bar(items: Sequence[Any], label: str, *, disable: bool) -> Iterable[Any]:
    return tqdm(items, desc=label, unit="batch", disable=disable or not items, dynamic_ncols=True, leave=False)


def _silent(_: str) -> None:
    """What only one process should say."""
