"""The panel: an accordion with a tab per unit, made from `FIELDS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import gradio as gr

from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.field import Type
from lib_ipadapter.webui import compat, downloads, models, presets, refresh, saved_prompts, tooltips
from lib_ipadapter.webui.arguments import TITLE
from lib_ipadapter.webui.controls import UnitControls, build_unit
from lib_ipadapter.webui.lists import Lists

OF_FILES = (Type.MODEL, Type.ENCODER, Type.FACE, Type.WEIGHTS, Type.EMBEDS, Type.FOLDER)

NOT_SAVED = ("enabled", "kind", *(f.name for f in FIELDS if f.type in OF_FILES))
"""Fields whose value belongs to one picture, or to one file."""


def build(
    tab: str,
    units: int,
    lists: Lists,
    folders: downloads.Folders | None,
    *,
    has_queue: bool = True,
    shown: Callable[[str], str] = str,
    clear_cache: Callable[[], str] = models.no_cache,
    unload: Callable[[], str] = models.unload,
) -> list[UnitControls]:
    """The whole panel for `tab`, "txt2img" or "img2img". Where nothing can be got, it has no `folders`.

    `has_queue`: whether an event may say something more than once.
    `shown`: what becomes of a sentence that names folders.
    """
    elem_id = f"ip_adapter_{tab}"
    with gr.Accordion(TITLE, open=False, elem_id=elem_id, elem_classes=["ip-adapter"]):
        controls = _units(elem_id, units, lists)
        if folders:
            downloads.build(f"{elem_id}_get", folders, has_queue=has_queue, shown=shown)
        _buttons(elem_id, clear_cache, unload)
        tooltips.build(f"{elem_id}_about")
    refresh.connect(controls, lists)
    presets.connect(controls, lists)
    saved_prompts.connect(controls, lists.save_prompt)
    _keep_out_of_saved_defaults(controls)
    return controls


def _units(elem_id: str, units: int, lists: Lists) -> list[UnitControls]:
    """Each in a tab of its own, where there are several."""
    now = refresh.read_once(lists)
    names = lists.presets.names() if lists.presets else None

    def unit(number: int) -> UnitControls:
        own = build_unit(f"{elem_id}_unit_{number}", now)
        return own if names is None else replace(own, preset=presets.build(f"{elem_id}_unit_{number}", names))

    if units == 1:
        return [unit(1)]
    controls: list[UnitControls] = []
    with gr.Tabs(elem_id=f"{elem_id}_tabs"):
        for number in range(1, units + 1):
            with compat.tab(f"Unit {number}", elem_id=f"{elem_id}_tab_{number}"):
                controls.append(unit(number))
    return controls


def _buttons(elem_id: str, clear_cache: Callable[[], str], unload: Callable[[], str]) -> None:
    """What frees room on the disk and in memory, and says how much."""
    with gr.Row(elem_classes=["ip-adapter-buttons"]):
        clear = gr.Button("Clear the cache of encoded pictures", size="sm", elem_id=f"{elem_id}_clear_cache")
        forget = gr.Button("Unload models from memory", size="sm", elem_id=f"{elem_id}_unload")
    clear.click(fn=lambda: gr.Info(clear_cache()), inputs=[], outputs=[], show_progress="hidden")
    forget.click(fn=lambda: gr.Info(unload()), inputs=[], outputs=[], show_progress="hidden")


def components(controls: Sequence[UnitControls]) -> list[Any]:
    """Every component in the order in which the script's arguments come."""
    return [component for unit in controls for component in unit.fields.values()]


def _keep_out_of_saved_defaults(controls: Sequence[UnitControls]) -> None:
    """The WebUI saves defaults by label, and all units share theirs: what is saved for one would hold for each.

    The numbers of the first unit may be saved; a unit that is enabled from the start would stop every job.
    """
    for number, unit in enumerate(controls):
        for name, component in unit.fields.items():
            component.do_not_save_to_config = number > 0 or name in NOT_SAVED
