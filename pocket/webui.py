"""``python -m pocket.webui WEBUI_DIR``: puts the pocket model where a WebUI looks for models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
import yaml

from pocket import ship


def install(models: Path) -> list[Path]:
    """Copies checkpoint, adapters and image encoder below the folder `models`; returns what was written.

    The YAML names the tokenizer's folder by its whole path: the WebUI would else ask the hub for it.
    """
    folder = models / "Stable-diffusion"
    checkpoint = _copy(ship.CHECKPOINT, folder)
    config = yaml.safe_load(ship.CHECKPOINT.with_suffix(".yaml").read_text(encoding="utf-8"))
    tokenizer = Path(shutil.copytree(ship.TOKENIZER, folder / "pocket-tokenizer", dirs_exist_ok=True))
    config["model"]["params"]["cond_stage_config"]["params"]["version"] = str(tokenizer.resolve())
    beside = checkpoint.with_suffix(".yaml")
    beside.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    adapters = [_copy(path, models / "ip-adapter") for path in sorted(ship.WEIGHTS.glob("ip-adapter_*.safetensors"))]
    encoder = Path(shutil.copytree(ship.ENCODER, models / "clip_vision" / "pocket", dirs_exist_ok=True))
    return [checkpoint, beside, tokenizer, *adapters, encoder]


def _copy(path: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copyfile(path, folder / path.name))


def main(webui: Annotated[Path, typer.Argument(help="Folder of an installed WebUI, or its --data-dir.")]) -> None:
    """Try the extension in seconds, without a download: the pocket model draws at 128 x 128."""
    if not (webui / "models").is_dir():
        raise typer.BadParameter(f"{webui} has no folder models; give the WebUI's own folder, or its --data-dir.")
    for path in install(webui / "models"):
        typer.echo(f"wrote {path}")
    typer.echo("Choose the checkpoint 'pocket' and 128 x 128, CFG scale 6.")


if __name__ == "__main__":
    typer.run(main)
