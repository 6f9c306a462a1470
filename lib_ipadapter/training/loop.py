"""The steps of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor
from tqdm.auto import tqdm

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.model.adapter import IPAdapter
from lib_ipadapter.training.config import TrainConfig
from lib_ipadapter.training.estimate import Estimate, estimate
from lib_ipadapter.training.evaluate import measure
from lib_ipadapter.training.inject import Conditioner, Injection
from lib_ipadapter.training.logs import Curves, Window, check_finite
from lib_ipadapter.training.objective import Batch, Batches, losses, row_weights
from lib_ipadapter.training.replay import recorded
from lib_ipadapter.training.samples import Samples
from lib_ipadapter.training.saving import Position, Saves

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Share:
    """Which rows of the stream a step has, and which of them are this process's."""

    batch: int
    accumulation: int
    processes: int
    process: int

    @property
    def rows(self) -> int:
        """Of one optimiser step, all processes together."""
        return self.batch * self.accumulation * self.processes

    def own(self, first: int) -> list[range]:
        """Numbers of this process's rows, batch by batch; the step's rows begin with `first`."""
        starts = range(first, first + self.rows, self.batch * self.processes)
        return [range(start + self.process * self.batch, start + (self.process + 1) * self.batch) for start in starts]


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
        self.held_out = held_out
        self.samples = samples
        self.position = position
        self.metadata = metadata
        self.plain = Conditioner(adapter)
        optimizer = torch.optim.AdamW(
            self.plain.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        prepared: Any = accelerator.prepare(self.plain, optimizer)
        self.conditioner, self.optimizer = prepared
        accelerator.register_for_checkpointing(position)
        self.share = Share(config.batch_size, config.accumulation, accelerator.num_processes, accelerator.process_index)
        self.saves = Saves(config.output, accelerator, config.keep)
        self.window = Window()
        self.injection = Injection(source.frozen.unet)
        self._compute: Callable[[Batch], Tensor] = partial(self._losses, self.conditioner)

    def resume(self, state: Path) -> None:
        """Goes on from `state`; says so where what is trained, or the order of the data, is no longer the same.

        Raises `TrainingError` for the state of another adapter, and for a damaged one.
        """
        asked = replace(self.position)
        try:
            self.accelerator.load_state(str(state))
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # each of a state's files fails in a way of its own
            raise TrainingError(self._misfit(state, error)) from error
        # States are of whole steps; accelerate's count of batches is of the --accumulation that the run had then.
        self.accelerator.step = 0
        changed = self.position.changed(asked)
        if {"seed", "data_hash"} & set(changed):
            LOG.warning(
                "The data, --holdout or --seed have changed since %s: the order of the data is a new one.", state.name
            )
        for name in [name for name in changed if name not in ("seed", "data_hash")]:
            was, now = (getattr(position, name) for position in (self.position, asked))
            LOG.warning(
                "--%s has changed since %s, from %s to %s: the run goes on with it.", name, state.name, was, now
            )
        self.position.become(asked)

    def _misfit(self, state: Path, error: Exception) -> str:
        """Why a state cannot be gone on from: torch names keys and sizes that the adapter does not have."""
        if any(sign in str(error) for sign in ("size mismatch", "Missing key", "Unexpected key")):
            return (
                f"{state} does not fit a {self.adapter.variant}, which is what the options ask for: give --kind,"
                " --tokens, --resampler-dim, --warm-start, --checkpoint and --encoder as config.json beside it has"
                " them, or another --output."
            )
        return f"{state} is damaged ({reason(error)}); delete it, and --resume goes on from the one before."

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
            since, begun = first, perf_counter()
            for step, parts in enumerate(self._batches(), first + 1):
                self._step(step - 1, parts)
                self.position.step, self.position.rows = step, self.position.rows + self.share.rows
                bar.update()
                if not self._due(step, config.log_every, config.save_every, config.eval_every, config.sample_every):
                    continue
                values = self._close_window(since)
                values |= {"learning_rate": config.rate(step - 1)}
                values |= {"speed/steps_per_second": (step - since) / (perf_counter() - begun)}
                bar.set_postfix_str(f"loss {values['loss/all']:.4f}")
                if curves:
                    curves.scalars(step, values)
                    self._look(step, curves)
                if self._due(step, config.save_every):
                    self._save(step)
                since, begun = step, perf_counter()

    def _next(self) -> Batch:
        """The first of this process's batches that are left."""
        return self.source.at(self.share.own(self.position.rows)[0])

    def _due(self, step: int, *intervals: int) -> bool:
        return step == self.config.steps or any(n and step % n == 0 for n in intervals)

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
        self.window.add(found, norm)

    def _losses(self, conditioner: Callable[[Tensor], Any], batch: Batch) -> Tensor:
        return losses(self.source.frozen, self.injection, conditioner(batch.given["features"].float()), batch)

    def _weights(self, batch: Batch) -> Tensor:
        """Of the rows in what is minimised; the curves show the plain loss."""
        frozen = self.source.frozen
        alphas = frozen.alphas.to(batch.timesteps.device)[batch.timesteps]
        return row_weights(self.config.weighting, frozen.prediction, alphas)

    def _norm(self) -> Tensor:
        """Of the gradient, before it is shortened."""
        longest = self.config.max_grad_norm or float("inf")
        norm = self.accelerator.clip_grad_norm_(self.conditioner.parameters(), longest)
        return torch.as_tensor(0.0 if norm is None else norm)

    def _close_window(self, since: int) -> dict[str, float]:
        """The curves' numbers for the steps from `since` on. Raises `TrainingError` when one is not a number."""
        own = torch.stack(self.window.losses)
        everyone: Any = self.accelerator.gather(own)
        # [process, step, batch, row] to the order of the stream.
        found = everyone.unflatten(0, (self.share.processes, -1)).movedim(0, 2).flatten().cpu()
        first = self.position.rows - len(found)
        draws = [self.source.stream.draw(number) for number in range(first, self.position.rows)]
        # Where the loss is scaled, a gradient that is too long is expected, and its step left out.
        norms = None if self.accelerator.scaler else torch.stack([norm.float().cpu() for norm in self.window.norms])
        check_finite(found, draws, self.source.names(draws), since=since, rows=self.share.rows, norms=norms)
        return self.window.close(found, draws, self.source.stream.timesteps)

    def _look(self, step: int, curves: Curves) -> None:
        """What takes a while, by the first process alone."""
        plain = self.accelerator.unwrap_model(self.conditioner)
        if self._due(step, self.config.eval_every):
            gap = measure(self.held_out, plain, self.injection, self.config.batch_size)
            curves.scalars(step, gap.scalars)
        if self.config.sample_every and self.samples.examples and self._due(step, self.config.sample_every):
            picture, alike = self.samples.grid(plain, self.injection)
            curves.picture(step, picture)
            curves.scalars(step, alike)

    def _save(self, step: int) -> None:
        dtype = torch.float32 if self.config.full_precision else torch.float16
        metadata = {**self.metadata, "steps": str(step), "rows": str(self.position.rows)}
        self.saves.save(step, self.adapter, dtype, metadata)
