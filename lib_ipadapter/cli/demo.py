"""``demo``: the main job on what the package itself can make, without a download."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lib_ipadapter.errors import IPAdapterError


def demo(
    output: Annotated[Path, typer.Option(help="The PNG to write.")] = Path("outputs/demo.png"),
) -> None:
    """Steer a tiny model of random weights by three pictures, and measure that all is as claimed."""
    from lib_ipadapter.cli.exhibition import exhibit, show  # noqa: PLC0415 - diffusers takes seconds to import

    sheet, facts = exhibit()
    output.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(output)
    show(facts)
    typer.echo(
        f"Look at {output}: all start from the same noise and text, and each reference leads away from 'no adapter' in"
        " a direction of its own, further as the scale grows. The weights are random: this shows that the picture"
        " steers, not that the model draws."
    )
    if failed := [fact.claim for fact in facts if not fact.holds]:
        raise DemoError(f"The demo expected what does not hold here: {'; '.join(failed)}.")


class DemoError(IPAdapterError):
    """A claim of the demo is false on this machine."""
