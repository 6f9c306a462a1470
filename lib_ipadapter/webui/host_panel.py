"""The panel as the WebUI fills it: its folders, its checkpoint, and its turn for what needs either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lib_ipadapter.hosts.a1111 import A1111Host, alone, has_queue, loaded_unet, wait_for_checkpoint
from lib_ipadapter.hosts.a1111_folders import (
    adapter_folders,
    cache_folder,
    encoder_folders,
    preset_folder,
    without_folders,
)
from lib_ipadapter.session.remote import Shelf
from lib_ipadapter.webui import models, panel, references, saved_prompts, settings
from lib_ipadapter.webui.controls import UnitControls
from lib_ipadapter.webui.lists import Lists


def lists() -> Lists:
    """What there is to choose from; looked up whenever it is asked for."""
    return Lists(
        models=lambda: models.choices(adapter_folders(), loaded_unet()),
        resolve=lambda name: models.choice(name, adapter_folders(), loaded_unet()),
        encoders=lambda model: models.encoder_names(encoder_folders(), model, adapter_folders()),
        faces=lambda: models.faces(adapter_folders()),
        prompts=lambda: saved_prompts.choices(adapter_folders()),
        save_prompt=save_prompt,
        folders=references.folders,
        looked_at=lambda unit: models.looked_at(unit, adapter_folders()),
        presets=models.presets(preset_folder(), adapter_folders),
        wait=wait_for_checkpoint,
    )


def build(tab: str, known: Lists) -> list[UnitControls]:
    """The panel for `tab`, "txt2img" or "img2img"; in its lists stands what is `known`."""
    return panel.build(
        tab,
        settings.number_of_units(),
        known,
        searched,
        has_queue=has_queue(),
        shown=without_folders,
        clear_cache=lambda: models.clear_cache(cache_folder()),
        unload=unload,
    )


def searched(shelf: Shelf) -> list[Path]:
    """Where files of a kind are looked for."""
    return encoder_folders() if shelf is Shelf.ENCODERS else adapter_folders()


def unload() -> str:
    """See `models.unload`; once no job runs."""
    with alone():
        return models.unload()


def save_prompt(name: str, values: Sequence[Any]) -> list[str]:
    """See `saved_prompts.save`; once no job runs."""
    with alone():
        return saved_prompts.save(name, values, A1111Host())
