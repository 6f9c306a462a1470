"""*Save as image prompt*: what a unit's pictures become, in a small file that can be chosen by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from lib_ipadapter.errors import IPAdapterError, UnitError
from lib_ipadapter.model.prompt_file import SavedPrompt
from lib_ipadapter.session.host import Host
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.naming import find
from lib_ipadapter.session.prompts import list_prompts, new_path, prompt_folders, write_prompt
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.session.unit.passes import Source
from lib_ipadapter.webui import compat
from lib_ipadapter.webui.api import parse_unit
from lib_ipadapter.webui.models import NONE

if TYPE_CHECKING:
    from lib_ipadapter.webui.controls import UnitControls

Save = Callable[[str, Sequence[Any]], Sequence[str]]
"""``save(name, values of a unit's components)`` -> the list of names as it is then. Raises `IPAdapterError`."""


ACTING = {field.name: field.default for field in FIELDS if field.late and field.name not in ("model", "encoder")}
"""How strongly, when and where a unit acts is not saved, and one that is switched off can be saved as well."""


def cannot(name: str, values: Sequence[Any]) -> Sequence[str]:
    """Where there is no WebUI around the page."""
    raise UnitError("There is no checkpoint here that a picture could be saved for; open the page in the WebUI.")


def choices(adapter_folders: Sequence[Path]) -> list[str]:
    """Every saved image prompt by name."""
    return [NONE, *(file.name for file in list_prompts(prompt_folders(adapter_folders)))]


def save(name: str, values: Sequence[Any], host: Host) -> list[str]:
    """Writes what a unit's components show to a new file called `name`; gives the new list. Raises `IPAdapterError`."""
    path = new_path(name, prompt_folders(host.adapter_folders()))
    given = {field.name: value for field, value in zip(FIELDS, values, strict=True) if value is not None}
    write_prompt(encode(given, host), path)
    return choices(host.adapter_folders())


def encode(values: Mapping[str, Any], host: Host) -> SavedPrompt:
    """What a unit's pictures become, for its adapter. Raises `IPAdapterError`."""
    if (where := values.get("reference", Source.PICTURE.value)) != Source.PICTURE:
        raise UnitError(
            f"IP-Adapter: the unit's reference is {where!r}; set it to {Source.PICTURE.value!r}, and give the pictures"
            " that shall be saved."
        )
    unit = parse_unit({**values, **ACTING})
    unit.check()
    file = find(unit.model or "", host.adapter_folders(), LIBRARY.why_not)
    return LIBRARY.image_prompt(unit, file.path, host)


def build(elem_id: str) -> tuple[gr.Textbox, gr.Button]:
    """A name and a button, for `connect`."""
    with gr.Row(elem_classes=["ip-adapter-model"]):
        name = gr.Textbox(
            label="Save as image prompt", placeholder="a name", max_lines=1, elem_id=f"{elem_id}_save_name"
        )
        button = gr.Button("Save", size="sm", elem_id=f"{elem_id}_save", min_width=60)
    # What was typed last is nobody's default.
    name.do_not_save_to_config = True  # pyright: ignore[reportAttributeAccessIssue]
    return name, button


def connect(controls: Sequence[UnitControls], save_as: Save) -> None:
    """Each unit's button saves what its components show; the new name then stands in the lists of all units."""
    lists = [unit.fields["embeds"] for unit in controls]
    for unit in controls:
        name, button = unit.save
        components = [unit.fields[field.name] for field in FIELDS]
        button.click(_saver(save_as, lists), [name, *components], lists, show_progress="hidden")


def _saver(save_as: Save, lists: Sequence[gr.Dropdown]) -> Callable[..., Any]:
    def click(name: str, *values: Any) -> Any:
        try:
            names = save_as(name or "", values)
        except IPAdapterError as error:
            gr.Warning(str(error))
            return compat.for_each(lists, gr.update)
        gr.Info(f"IP-Adapter: {name.strip()} is saved; choose it under {lists[0].label}.")
        return compat.for_each(lists, lambda: gr.update(choices=list(names)))

    return click
