"""``convert``: whatever a trainer has left becomes an adapter file, or the other way round."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from lib_ipadapter.model.dialect_rules import DIALECTS
from lib_ipadapter.model.variant import Kind


class Layout(str, Enum):
    """Names of layouts; what they mean is in `lib_ipadapter.model.dialect_rules`."""

    PUBLISHED = "published"
    RAW = "raw"
    RAW_UNET = "raw-unet"
    DIFFUSERS = "diffusers"


assert [layout.value for layout in Layout] == list(DIALECTS)


class Numbers(str, Enum):
    """In which precision the weights are written."""

    KEEP = "keep"
    FP16 = "fp16"
    FP32 = "fp32"


def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A file, or the folder of a training checkpoint.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The .safetensors (or .bin) to write.")],
    *,
    to: Annotated[Layout, typer.Option(help="Layout of OUT.")] = Layout.PUBLISHED,
    numbers: Annotated[Numbers, typer.Option("--dtype", help="Precision of OUT.")] = Numbers.KEEP,
    choice: Annotated[Kind | None, typer.Option("--kind", help="What IN is, where shapes do not tell.")] = None,
    adapter: Annotated[int | None, typer.Option(min=0, help="Which, where a UNet holds several.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
) -> None:
    """Turn a training checkpoint, in any layout known here, into a loadable adapter; or back."""
    from lib_ipadapter.model.convert import convert_file  # noqa: PLC0415 - transformers takes seconds to import

    dtype = None if numbers is Numbers.KEEP else numbers.value
    how = {"to": to.value, "dtype": dtype, "adapter": adapter, "choice": choice, "force": force}
    found, variant = convert_file(source, target, **how)
    typer.echo(f"{target}: {variant}, {to.value} layout (read from the {found} layout)")
