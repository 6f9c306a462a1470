"""The lists in the page, read once for all units, and again at every refresh."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any

import gradio as gr

from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.field import Type
from lib_ipadapter.session.unit.parsers import AUTOMATIC
from lib_ipadapter.webui.components import encoder_choices
from lib_ipadapter.webui.controls import UnitControls
from lib_ipadapter.webui.lists import Choices, Lists
from lib_ipadapter.webui.models import NONE

LISTS = {
    Type.MODEL: "models",
    Type.FACE: "faces",
    Type.EMBEDS: "prompts",
    Type.FOLDER: "folders",
}
"""Type of a field -> the attribute of `Lists` from which its component chooses, whatever else is chosen."""

LISTED = tuple(field for field in FIELDS if field.type in LISTS or field.type is Type.ENCODER)
"""Fields whose components choose from files."""


def read_once(lists: Lists) -> Lists:
    """`lists` as they are now: units that are built one after the other need not look into every folder again."""
    once = {name: _constant(tuple(getattr(lists, name)())) for name in LISTS.values()}
    return replace(lists, encoders=cache(lists.encoders), **once)


def connect(controls: Sequence[UnitControls], lists: Lists) -> None:
    """Each unit's refresh buttons refresh the lists of all units; its model decides which encoders there are."""
    dropdowns = [unit.fields[field.name] for unit in controls for field in LISTED]
    models = [unit.fields[field.name] for unit in controls for field in LISTED if field.type is Type.MODEL]
    refresh = updates(len(controls), lists)
    presets = [unit.preset.name for unit in controls if unit.preset]
    for button in (button for unit in controls for button in unit.refreshes):
        button.click(fn=refresh, inputs=models, outputs=[*dropdowns, *presets], show_progress="hidden")
    for unit in controls:
        model, encoder = (unit.fields[name] for name in ("model", "encoder"))
        model.change(
            fn=partial(encoders_beside, lists), inputs=[model, encoder], outputs=[encoder], show_progress="hidden"
        )


def updates(units: int, lists: Lists) -> Callable[..., list[Any]]:
    """What a refresh does: the models that are chosen in each of `units` -> an update of each list of each unit, and
    of the presets of each.

    It first waits for a checkpoint that is being loaded, without which nobody knows which model fits. What somebody
    chooses meanwhile is not undone: a list keeps its choice unless the entry has got another mark.
    """

    def refresh(*given: str | None) -> list[Any]:
        chosen = [name or NONE for name in given]
        lists.wait()
        now = read_once(lists)
        others = {
            Type.FACE: gr.update(choices=list(now.faces())),
            Type.EMBEDS: gr.update(choices=list(now.prompts())),
            Type.FOLDER: gr.update(choices=[NONE, *now.folders()]),
        }
        assert len(chosen) == units
        found: list[Any] = []
        for name in chosen:
            own = {
                Type.MODEL: gr.update(choices=list(now.models()), **_marked(name, lists)),
                Type.ENCODER: gr.update(choices=encoder_choices(now, name)),
            }
            found += [{**own, **others}[field.type] for field in LISTED]
        names = lists.presets.names() if lists.presets else None
        return [*found, *(gr.update(choices=names) for _ in chosen if names is not None)]

    return refresh


def encoders_beside(lists: Lists, model: str | None, chosen: str | None) -> Any:
    """The encoders for a model that has just been chosen. A name that no encoder has is left for the job to refuse.

    Where something is typed that is in no list, gradio 3.41 gives None.
    """
    now = encoder_choices(lists, model or NONE)
    wrong = chosen not in now and chosen in lists.encoders(NONE)
    return gr.update(choices=now, value=AUTOMATIC) if wrong else gr.update(choices=now)


def _marked(chosen: str, lists: Lists) -> dict[str, Any]:
    entry = None if chosen == NONE else lists.resolve(chosen)
    return {"value": entry} if entry and entry != chosen else {}


def _constant(entries: Sequence[str]) -> Choices:
    return lambda: entries
