"""The steps of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm.auto import tqdm

from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.estimate import Estimate, estimate
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.logs import Curves
from lib_ipadapter.training.measurements import Measurements
from lib_ipadapter.training.objective import Batch, Batches, losses, row_weights
from lib_ipadapter.training.replay import recorded
from lib_ipadapter.training.resuming import keep_names, load_state
from lib_ipadapter.training.samples import Samples
from lib_ipadapter.training.saving import Position, Saves
from lib_ipadapter.training.share import Share


class Loop:
    """All that is random follows from the number of a row, see `stream`; so does the order of the data."""

    def __init__(
        self,
        *,
        config: TrainConfig,
        accelerator: Accelerator,
        adapter: IPAdapter,
        source: Batches,
        held_out: Batches,
        samples: Samples,
        position: Position,
        metadata: dict[str, str],
    ) -> None:
        self.config = config
        self.accelerator = accelerator
        self.adapter = adapter
        self.source = source
        self.position = position
        self.metadata = metadata
        self.plain = Conditioner(adapter)
        optimizer = torch.optim.AdamW(
            self.plain.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        prepared: Any = accelerator.prepare(self.plain, optimizer)
        self.conditioner, self.optimizer = prepared
        accelerator.register_for_checkpointing(position)
        keep_names(accelerator)
        self.share = Share(config.batch_size, config.accumulation, accelerator.num_processes, accelerator.process_index)
        self.saves = Saves(config.output, accelerator, config.keep)
        self.measurements = Measurements(
            config=config,
            accelerator=accelerator,
            source=source,
            share=self.share,
            held_out=held_out,
            samples=samples,
        )
        self.injection = Injection(source.frozen.unet)
        self._compute: Callable[[Batch], Tensor] = partial(self._losses, self.conditioner)

    def resume(self, state: Path) -> None:
        """Goes on from `state`, see `load_state`."""
        load_state(state, self.accelerator, self.position, self.adapter.variant)

    def estimate(self) -> Estimate:
        """What is left of the run will take, from trying a step."""

        def loss() -> Tensor:
            return self._losses(self.plain, self._next()).mean()

        with self.injection:
            return estimate(
                frozen=self.source.frozen,
                trained=self.plain,
                loss=loss,
                cached=self.source.cache.nbytes,
                steps=self.config.steps - self.position.step,
                config=self.config,
                resumed=bool(self.optimizer.state),
            )

    def run(self, curves: Curves | None) -> None:
        """All steps that are left. `curves`: of the first process only. Raises `TrainingError`."""
        config, first = self.config, self.position.step
        main = self.accelerator.is_main_process
        bar = tqdm(total=config.steps, initial=first, unit="step", disable=not main, mininterval=1, dynamic_ncols=True)
        with self.injection, bar:
            if config.cuda_graph:  # before batches are made, because that uses the device as well
                self._compute = recorded(self.plain, partial(self._losses, self.plain), self._next())
            if curves and config.warm_start and not first:  # what it begins with, to compare with what comes of it
                self.measurements.look(0, curves, self.plain, self.injection)
            since, begun = first, perf_counter()
            for step, parts in enumerate(self._batches(), first + 1):
                self._step(step - 1, parts)
                self.position.step, self.position.rows = step, self.position.rows + self.share.rows
                bar.update()
                if not config.due(step, config.log_every, config.save_every, config.eval_every, config.sample_every):
                    continue
                values = self.measurements.numbers(self.position, since)
                values |= {"learning_rate": config.rate(step - 1)}
                values |= {"speed/steps_per_second": (step - since) / (perf_counter() - begun)}
                bar.set_postfix_str(f"loss {values['loss/all']:.4f}")
                if config.due(step, config.save_every):  # first: what is only looked at may fail
                    self.save(step)
                if curves:
                    curves.scalars(step, values)
                    self.measurements.look(step, curves, self.plain, self.injection)
                since, begun = step, perf_counter()

    def _next(self) -> Batch:
        """The first of this process's batches that are left."""
        return self.source.at(self.share.own(self.position.rows)[0])

    def _batches(self) -> Iterator[list[Batch]]:
        """The batches of each step, the next being made while this one is computed."""
        first, left = self.position.rows, self.config.steps - self.position.step
        source = replace(self.source, stream=replace(self.source.stream))

        def make(step: int) -> list[Batch]:
            return [source.at(numbers) for numbers in self.share.own(first + step * self.share.rows)]

        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(make, 0)
            for step in range(left):
                parts, waiting = waiting.result(), pool.submit(make, step + 1)
                yield parts

    def _step(self, step: int, parts: Sequence[Batch]) -> None:
        """One optimiser step over `parts`."""
        for group in self.optimizer.param_groups:
            # A state that was gone on from has brought the values of its own run.
            group["lr"], group["weight_decay"] = self.config.rate(step), self.config.weight_decay
        found = []
        norm = torch.zeros(())
        for batch in parts:
            with self.accelerator.accumulate(self.conditioner):
                rows = self._compute(batch)
                self.accelerator.backward((rows * self._weights(batch)).mean())
                if self.accelerator.sync_gradients:
                    norm = self._norm()
                self.optimizer.step()
                self.optimizer.zero_grad()
            found.append(rows.detach())
        self.measurements.add(found, norm)

    def _losses(self, conditioner: Callable[[Tensor], Any], batch: Batch) -> Tensor:
        return losses(self.source.frozen, self.injection, conditioner, batch)

    def _weights(self, batch: Batch) -> Tensor:
        """Of the rows in what is minimised; the curves show the plain loss."""
        return row_weights(self.config.weighting, self.source.frozen.prediction, batch.alphas)

    def _norm(self) -> Tensor:
        """Of the gradient, before it is shortened."""
        longest = self.config.max_grad_norm or float("inf")
        norm = self.accelerator.clip_grad_norm_(self.conditioner.parameters(), longest)
        return torch.as_tensor(0.0 if norm is None else norm)

    def save(self, step: int) -> None:
        """State and adapter. Raises `TrainingError`."""
        self.saves.save_state(step)
        self.save_adapter(step)

    def save_adapter(self, step: int) -> None:
        """The adapter alone. Raises `IPAdapterError`."""
        dtype = torch.float32 if self.config.full_precision else torch.float16
        metadata = {**self.metadata, "steps": str(step), "rows": str(self.position.rows)}
        self.saves.save_adapter(step, self.adapter, dtype, metadata)
