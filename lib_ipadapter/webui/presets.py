"""A unit's presets in the page: a list, and buttons to load, save and delete."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.presets import SAVED, Presets
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.controls import Lists, UnitControls
from lib_ipadapter.webui.paste import reading


def build(elem_id: str, unit: UnitControls, lists: Lists, names: Sequence[str]) -> None:
    """The row, where there is a place for presets; `names`: those there are now."""
    if lists.presets is None:
        return
    own = Row(lists.presets, lists)
    components = [unit.fields[field.name] for field in SAVED]
    with gr.Row(elem_classes=["ip-adapter-presets"]):
        name = gr.Dropdown(list(names), value="", label="Preset", allow_custom_value=True, elem_id=f"{elem_id}_preset")
        load, save, delete = (
            gr.Button(word, size="sm", min_width=60, elem_id=f"{elem_id}_preset_{word.lower()}")
            for word in ("Load", "Save", "Delete")
        )
    # What was chosen last is nobody's default.
    name.do_not_save_to_config = True  # pyright: ignore[reportAttributeAccessIssue]
    load.click(own.load, [name], components, show_progress="hidden")
    save.click(own.save, [name, *components], [name], show_progress="hidden")
    delete.click(own.delete, [name], [name], show_progress="hidden")


class Row:
    """What the buttons do. What goes wrong is said in the corner of the page, and nothing is changed then."""

    def __init__(self, presets: Presets, lists: Lists) -> None:
        self.presets = presets
        self.lists = lists

    def load(self, name: str) -> list[Any]:
        """Sets every component that a preset has to what it says."""
        found = self._try(lambda: self.presets.load(name))
        if not found:
            return [gr.update() for _ in SAVED]
        said = {name: value for name, value in found.items() if value is not None}
        values = [reading(field, self.lists)(said) for field in SAVED]
        return [gr.update() if value is None else gr.update(value=value) for value in values]

    def save(self, name: str, *values: Any) -> Any:
        """Writes what the components hold."""
        said = {field.name: value for field, value in zip(SAVED, values, strict=True) if value is not None}
        saved = self._try(lambda: self.presets.save(name, Unit.parse(said)))
        if saved:
            compat.say(f"IP-Adapter: the preset {saved!r} is saved.")
        return self._list(saved or name)

    def delete(self, name: str) -> Any:
        """Forgets a preset."""
        self._try(lambda: self.presets.delete(name))
        return self._list("" if name not in self.presets.names() else name)

    def _list(self, name: str) -> Any:
        return gr.update(choices=self.presets.names(), value=name)

    def _try(self, act: Callable[[], Any]) -> Any:
        try:
            return act()
        except UnitError as error:
            compat.warn(str(error))
            return None
