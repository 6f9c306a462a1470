"""Everything that a run needs, from its configuration: models, data, cache, loop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils.operations import broadcast_object_list, gather_object
from tqdm.auto import tqdm

from lib_ipadapter import __version__
from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.encoder_sizes import EncoderSizes
from lib_ipadapter.model.variant import Variant
from lib_ipadapter.training.adapters import prepare
from lib_ipadapter.training.cache import Cache
from lib_ipadapter.training.check import Example, Report, data_hash, examine
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.filler import Filler
from lib_ipadapter.training.frozen import Frozen
from lib_ipadapter.training.holdout import divide, one_of_each
from lib_ipadapter.training.loop import Loop
from lib_ipadapter.training.objective import Batches
from lib_ipadapter.training.output import check_output, write_record
from lib_ipadapter.training.remembered import remembered
from lib_ipadapter.training.samples import Samples
from lib_ipadapter.training.saving import Position, newest_state
from lib_ipadapter.training.stream import Stream
from lib_ipadapter.training.trial import check_step

Say = Callable[[str], None]


def build(config: TrainConfig, accelerator: Accelerator, tell: Say) -> Loop:
    """Everything that a run needs, read and encoded. Raises `IPAdapterError`."""
    check_models(config)
    check_output(config)
    tell(f"Looking at {config.data}")
    report = _looked_at(config, accelerator)
    frozen = Frozen.read(config, accelerator.device)
    if config.gradient_checkpointing:
        frozen.unet.enable_gradient_checkpointing()
        frozen.unet.train()  # older diffusers checkpoint only then; a Stable Diffusion UNet has no dropout
    adapter = prepare(frozen.unet, frozen.encoder.sizes, config)
    if frozen.device.type == "cuda":
        check_step(config, frozen, adapter)
    cache, report = encode(config, accelerator, frozen, adapter.variant, report)
    if config.sample_steps > len(frozen.alphas):
        raise TrainingError(f"--sample-steps must be at most {len(frozen.alphas)} for this checkpoint.")
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
        samples=Samples(one_of_each(held)[: config.sample_count], cache, frozen, config),
        position=position_of(config, trained),
        metadata=metadata_of(config, adapter.variant, frozen.encoder.sizes, report),
    )
    _resume(loop, tell)
    write_record(config, report, accelerator)
    return loop


def _looked_at(config: TrainConfig, accelerator: Accelerator) -> Report:
    """The data, which the first process reads for all. Raises `TrainingError`, in each."""
    found: list[Any] = [None]
    if accelerator.is_main_process:
        try:
            with remembered(cache_folder(config, accelerator)) as hash_of:
                found = [examine(config, thorough=False, progress=_entries, hash_of=hash_of)]
        except TrainingError as error:
            found = [error]
        except OSError as error:
            found = [TrainingError(f"The cache cannot be written ({reason(error)}); give --cache another folder.")]
    broadcast_object_list(found)
    if isinstance(found[0], TrainingError):
        raise found[0]
    return found[0]


def check_models(config: TrainConfig) -> None:
    """Raises `TrainingError` where one is not given, before all data is read."""
    if missing := [name for name in ("checkpoint", "encoder") if getattr(config, name) is None]:
        raise TrainingError(f"Training needs --{' and --'.join(missing)}; only --check does without.")
    for name in ("checkpoint", "encoder"):
        if not getattr(config, name).exists():
            raise TrainingError(f"There is no {getattr(config, name)}, which --{name} names.")


def encode(
    config: TrainConfig, accelerator: Accelerator, frozen: Frozen, variant: Variant, report: Report
) -> tuple[Cache, Report]:
    """The filled cache, and what is left of the data after every picture was really read. Raises `TrainingError`."""
    folder = cache_folder(config, accelerator)
    assert variant.feature is not None, "only adapters with an image encoder are trained"
    cache = Cache.open(frozen, variant.feature, config, folder)
    processes = accelerator.num_processes
    progress = partial(_bar, disable=not accelerator.is_main_process)
    filler = Filler(cache, frozen, config, accelerator.process_index, processes, progress)
    unread = filler.fill(report, variant.feature)
    if processes > 1:
        unread = gather_object(unread)
    report = report.without(unread)
    if not report.examples:
        raise TrainingError(f"{config.data} holds nothing to train on: {report}.")
    return cache, report


def cache_folder(config: TrainConfig, accelerator: Accelerator) -> Path | None:
    """Where what is encoded is kept; None is in memory, which several processes have not in common."""
    return config.cache or (config.output / "cache" if accelerator.num_processes > 1 else None)


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
        learning_rate=config.learning_rate,
        decay=config.decay.value,
        drop_text=config.drop_text,
        drop_image=config.drop_image,
        drop_both=config.drop_both,
    )


def metadata_of(config: TrainConfig, variant: Variant, sizes: EncoderSizes, report: Report) -> dict[str, str]:
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
    if not loop.config.resume:
        return
    if state := newest_state(loop.config.output):
        loop.resume(state)
        tell(f"Going on from {state} at step {loop.position.step}")
    else:
        tell(f"{loop.config.output} holds no state to go on from: this is the beginning.")


def _entries(items: Iterable[Any], total: int) -> Iterable[Any]:
    return tqdm(items, desc="data", total=total, unit="entry", dynamic_ncols=True, leave=False)


def _bar(items: Sequence[Any], label: str, *, disable: bool) -> Iterable[Any]:
    return tqdm(items, desc=label, unit="batch", disable=disable or not items, dynamic_ncols=True, leave=False)
