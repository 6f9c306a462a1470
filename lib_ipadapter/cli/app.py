"""The commands, and the one place where an error becomes a sentence and an exit status."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from lib_ipadapter.cli.convert import convert
from lib_ipadapter.cli.encode import encode
from lib_ipadapter.cli.face import face
from lib_ipadapter.cli.generate import generate
from lib_ipadapter.cli.get import get
from lib_ipadapter.cli.inspect import inspect
from lib_ipadapter.cli.missing import missing
from lib_ipadapter.cli.quiet import quieten
from lib_ipadapter.cli.train import train
from lib_ipadapter.errors import IPAdapterError

CANNOT_USE = 2
"""Exit status when something that the user gave cannot be used; click's own for a wrong option."""


class Commands(TyperGroup):
    """Says an `IPAdapterError` in one line on standard error, without a traceback."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        found = super().resolve_command(ctx, args)
        quieten(offline=found[0] != get.__name__)
        return found

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except IPAdapterError as error:
            typer.echo(" ".join(str(error).split()), err=True)
            raise typer.Exit(CANNOT_USE) from None
        except ModuleNotFoundError as error:
            typer.echo(missing(error), err=True)
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=Commands,
    help="IP-Adapter: a picture as a prompt for Stable Diffusion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (inspect, generate, get, face, encode, convert, train):
    app.command()(command)
