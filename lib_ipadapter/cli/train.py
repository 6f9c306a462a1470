"""``train``: an adapter from pictures and captions. The options are the fields of `TrainConfig`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields
from typing import Annotated, Any, get_args, get_type_hints

import typer

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.config import TrainConfig

SHOWN = 10
"""Skipped entries that ``--check`` prints of each kind."""


def options_of(config: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command that takes ``**values`` one option per field of a dataclass, before its own parameters."""
    hints = get_type_hints(config, include_extras=True)

    def option(field: Field[Any]) -> inspect.Parameter:
        kind, about = get_args(hints[field.name])
        default = inspect.Parameter.empty if field.default is MISSING else field.default
        annotation = Annotated[kind, typer.Option(help=about)]
        return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = [*map(option, fields(config)), *kept]
        command.__signature__ = own.replace(parameters=parameters)  # pyright: ignore[reportFunctionMemberAccess]
        command.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return command

    return decorate


@options_of(TrainConfig)
def train(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only read all data and say what is wrong with it.")] = False,
    **values: Any,
) -> None:
    """Train an adapter on a frozen checkpoint. Several processes: torchrun -m lib_ipadapter train ..."""
    config = TrainConfig(**values)
    if check:
        check_data(config)
        return
    from lib_ipadapter.training.run import train as run  # noqa: PLC0415 - diffusers takes seconds to import

    run(config, say=typer.echo)


def check_data(config: TrainConfig) -> None:
    """Reads everything and prints what is wrong. Raises `TrainingError` when anything is."""
    from tqdm.auto import tqdm  # noqa: PLC0415

    from lib_ipadapter.training.check import counted, examine  # noqa: PLC0415

    report = examine(config, thorough=True, progress=lambda items, total: tqdm(items, total=total, unit="entry"))
    shown = dict.fromkeys(report.counts, 0)
    for item in report.rejected:
        shown[item.problem.value] += 1
        if shown[item.problem.value] <= SHOWN:
            typer.echo(str(item))
    typer.echo(str(report))
    if report.rejected:
        raise TrainingError(f"{counted(len(report.rejected), 'entry')} would be skipped; mend them, or train without.")
