"""A unit's presets in the page: a list, and buttons to load, save and delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.presets import SAVED, Presets
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.controls import PresetRow, UnitControls
from lib_ipadapter.webui.lists import Lists
from lib_ipadapter.webui.paste import reading


def build(elem_id: str, names: Sequence[str]) -> PresetRow:
    """A unit's row; `names`: the presets that there are now."""
    with gr.Row(elem_classes=["ip-adapter-presets"]):
        name = compat.open_list(names, value="", label="Preset", elem_id=f"{elem_id}_preset")
        buttons = [
            gr.Button(word, size="sm", min_width=60, elem_id=f"{elem_id}_preset_{word.lower()}")
            for word in ("Load", "Save", "Delete")
        ]
    # What was chosen last is nobody's default.
    name.do_not_save_to_config = True  # pyright: ignore[reportAttributeAccessIssue]
    return PresetRow(name, *buttons)


def connect(controls: Sequence[UnitControls], lists: Lists) -> None:
    """What one unit's buttons save or delete, the lists of all units have or lose."""
    if lists.presets is None:
        return
    do = PresetButtons(lists.presets, lists)
    names = [unit.preset.name for unit in controls if unit.preset]
    for unit in controls:
        if unit.preset is None:
            continue
        name, load, save, delete = unit.preset
        components = [unit.fields[field.name] for field in SAVED]
        load.click(do.load, [name], components, show_progress="hidden")
        saved = save.click(do.save, [name, *components], [name], show_progress="hidden")
        deleted = delete.click(do.delete, [name], [name], show_progress="hidden")
        for done in (saved, deleted):
            done.then(lambda: do.listed(names), [], names, show_progress="hidden")


class PresetButtons:
    """What they do. What goes wrong is said in the corner of the page, and nothing is changed then."""

    def __init__(self, presets: Presets, lists: Lists) -> None:
        self.presets = presets
        self.lists = lists

    def load(self, name: str | None) -> list[Any]:
        """Sets every component that a preset has to what it says."""
        found = self._try(lambda: self.presets.load(name or ""))
        if not found:
            return [gr.update() for _ in SAVED]
        said = {name: value for name, value in found.items() if value is not None}
        values = [reading(field, self.lists)(said) for field in SAVED]
        return [gr.update() if value is None else gr.update(value=value) for value in values]

    def save(self, name: str | None, *values: Any) -> Any:
        """Writes what the components hold."""
        said = {field.name: value for field, value in zip(SAVED, values, strict=True) if value is not None}
        there = self.presets.names()
        saved = self._try(lambda: self.presets.save(name or "", Unit.parse(said)))
        if saved:
            before = ", in place of the one of that name" if saved in there else ""
            gr.Info(f"IP-Adapter: the preset {saved!r} is saved{before}.")
        return self._list(saved or name)

    def delete(self, name: str | None) -> Any:
        """Forgets a preset."""
        self._try(lambda: self.presets.delete(name or ""))
        return self._list("" if name not in self.presets.names() else name)

    def listed(self, lists: Sequence[Any]) -> Any:
        """For each of `lists` the presets that there are now."""
        return compat.for_each(lists, lambda: gr.update(choices=self.presets.names()))

    def _list(self, name: str | None) -> Any:
        return gr.update(choices=self.presets.names(), value=name)

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except UnitError as error:
            gr.Warning(str(error))
            return None
