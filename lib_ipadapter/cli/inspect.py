"""``inspect``: what an adapter file is, from its header where that tells, else from its whole content."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from lib_ipadapter.errors import CheckpointError
from lib_ipadapter.model.checkpoint import read_leftovers
from lib_ipadapter.model.identity import identify
from lib_ipadapter.model.variant import Kind, Variant
from lib_ipadapter.model.weights_file import sha256

ABOUT = {
    "variant": "",
    "base": "checkpoints it was trained on",
    "tokens": "image tokens per picture",
    "encoder": "image encoder it needs",
    "feature": "what it takes from the encoder",
    "layers": "cross-attention layers",
    "face": "what it takes from a face analysis",
    "lora_rank": "rank of the UNet's LoRA in the file",
    "ignored": "parts of the file that are not used",
    "sha256": "",
}
"""Field -> what it means, in the order in which they are shown."""


def inspect(
    file: Annotated[Path, typer.Argument(help="Adapter file: .safetensors, .bin, .pt or .pth.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the card.")] = False,
    choice: Annotated[Kind | None, typer.Option("--kind", help="What it is, where shapes do not tell.")] = None,
    with_hash: Annotated[bool, typer.Option("--hash", help="SHA-256 too, which reads the whole file.")] = False,
) -> None:
    """Say what an adapter file is: variant, checkpoint family, encoder. Reads its header only, where that tells."""
    if file.is_dir():
        raise CheckpointError(f"{file} is a folder; give the adapter file in it.")
    variant = identify(file, choice)
    facts = described(variant, read_leftovers(file), sha256(file) if with_hash else None)
    if as_json:
        typer.echo(json.dumps(facts))
    else:
        show_card(file, facts | {"tokens": variant.tokens_label, "ignored": ", ".join(facts["ignored"])})


def described(variant: Variant, ignored: list[str], digest: str | None) -> dict[str, Any]:
    """What ``--json`` prints. Scripts read these keys: add to them, never rename.

    ``tokens`` is null where only the encoder tells how many there are, ``encoder`` and ``feature`` where it needs none,
    ``face`` for adapters of whole pictures, ``lora_rank`` where there is no LoRA.
    """
    return {
        "variant": variant.kind.value,
        "base": variant.base.value,
        "tokens": variant.tokens,
        "encoder": variant.encoder,
        "feature": variant.feature and variant.feature.value,
        "layers": len(variant.layers),
        "face": variant.face and variant.face.value,
        "lora_rank": variant.lora_rank or None,
        "ignored": ignored,
        "sha256": digest,
    }


def show_card(file: Path, facts: dict[str, Any]) -> None:
    """The same for people, without what is not there."""
    table = Table.grid(padding=(0, 2))
    for name, about in ABOUT.items():
        if facts[name] and name != "sha256":
            table.add_row(f"[dim]{name}[/dim]", f"[bold]{escape(str(facts[name]))}[/bold]", f"[dim]{about}[/dim]")
    table.add_row("[dim]size[/dim]", f"{file.stat().st_size / 1e6:.1f} MB")
    Console().print(Panel.fit(table, title=escape(file.name), title_align="left", padding=(1, 2)))
    if facts["sha256"]:
        typer.echo(f"sha256 {facts['sha256']}")  # by itself, because no frame may break it
