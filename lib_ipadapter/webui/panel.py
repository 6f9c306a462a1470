"""The panel: an accordion with a tab per unit, made from `FIELDS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from PIL import Image

from lib_ipadapter.model.picture import content_hash, encoder_view
from lib_ipadapter.session import infotext
from lib_ipadapter.session.parsers import AUTOMATIC
from lib_ipadapter.session.unit import FIELDS
from lib_ipadapter.webui import compat, downloads, models
from lib_ipadapter.webui.models import NONE

TITLE = "IP-Adapter"

Choices = Callable[[], Sequence[str]]
"""Gives the entries of a list, of models or of saved faces, as they are now."""

Resolve = Callable[[str], "str | None"]
"""Gives the entry of that list which a pasted name stands for."""

NOT_SAVED = ("enabled", "model", "encoder", "face", "kind")
"""Fields whose value belongs to one picture, or to one file."""

BY_NAME = {field.name: field for field in FIELDS}


@dataclass(frozen=True)
class UnitControls:
    """What the panel has for one unit."""

    fields: dict[str, Any]
    """Field name -> component, in the order of `FIELDS`."""
    note: gr.HTML
    """Says which picture is there, or which one a pasted infotext wants."""


def build(
    tab: str,
    units: int,
    choices: Choices,
    resolve: Resolve,
    *,
    folders: downloads.Folders,
    encoders: Choices = tuple,
    faces: Choices = tuple,
) -> list[UnitControls]:
    """The whole panel for `tab`, "txt2img" or "img2img"."""
    elem_id = f"ip_adapter_{tab}"

    def unit(number: int) -> UnitControls:
        return _unit(f"{elem_id}_unit_{number}", choices, resolve, encoders, faces)

    with gr.Accordion(TITLE, open=False, elem_id=elem_id, elem_classes=["ip-adapter"]):
        if units == 1:
            controls = [unit(1)]
        else:
            with gr.Tabs(elem_id=f"{elem_id}_tabs"):
                controls = []
                for number in range(1, units + 1):
                    with gr.Tab(f"Unit {number}", elem_id=f"{elem_id}_tab_{number}"):
                        controls.append(unit(number))
        downloads.build(f"{elem_id}_get", folders)
        unload = gr.Button("Unload models from memory", size="sm", elem_id=f"{elem_id}_unload")
        unload.click(fn=lambda: compat.say(models.unload()), inputs=[], outputs=[], show_progress="hidden")
    _keep_out_of_saved_defaults(controls)
    return controls


def components(controls: Sequence[UnitControls]) -> list[Any]:
    """Every component in the order in which the script's arguments come."""
    return [component for unit in controls for component in unit.fields.values()]


def paste_fields(
    controls: Sequence[UnitControls], resolve: Resolve, faces: Choices
) -> list[tuple[Any, Callable[[Any], Any]]]:
    """What the WebUI calls when generation parameters are pasted: (component, parameters -> value)."""
    return [pair for number, unit in enumerate(controls, 1) for pair in _paste_unit(unit, number, resolve, faces)]


def _unit(elem_id: str, choices: Choices, resolve: Resolve, encoders: Choices, faces: Choices) -> UnitControls:
    with gr.Row():
        enabled = gr.Checkbox(value=False, **_props("enabled", elem_id))
    with gr.Row(elem_classes=["ip-adapter-pictures"]):
        image = compat.picture_input(height=260, **_props("image", elem_id))
        view = gr.Image(
            label="What the encoder sees",
            interactive=False,
            visible=False,
            height=260,
            elem_id=f"{elem_id}_view",
        )
    note = gr.HTML(elem_id=f"{elem_id}_note", elem_classes=["ip-adapter-note"])
    with gr.Row(elem_classes=["ip-adapter-model"]):
        model = gr.Dropdown(choices=list(choices()), value=NONE, **_props("model", elem_id))
        refresh = compat.refresh_button(elem_id=f"{elem_id}_refresh")
    encoder = _encoder(elem_id, encoders, refresh)
    scale = _slider("scale", elem_id)
    with gr.Row():
        start, end = _slider("start", elem_id), _slider("end", elem_id)
    rare = _face(elem_id, faces)

    image.change(fn=show_view, inputs=[image], outputs=[view, note], show_progress="hidden")
    refresh.click(
        fn=lambda chosen: gr.update(choices=list(choices()), value=resolve(chosen) or chosen),
        inputs=[model],
        outputs=[model],
        show_progress="hidden",
    )
    compat.run_script_on_change(enabled, "() => ipAdapterShowActive()")

    found = {"enabled": enabled, "image": image, "model": model, "encoder": encoder, **rare}
    found |= {"scale": scale, "start": start, "end": end}
    return UnitControls({field.name: found[field.name] for field in FIELDS}, note)


def _face(elem_id: str, faces: Choices) -> dict[str, Any]:
    """What only FaceID files know, folded away."""
    with gr.Accordion("Face (FaceID files)", open=False, elem_id=f"{elem_id}_face_panel"):
        with gr.Row(elem_classes=["ip-adapter-model"]):
            face = gr.Dropdown(choices=list(faces()), value=NONE, **_props("face", elem_id))
            refresh = compat.refresh_button(elem_id=f"{elem_id}_face_refresh")
        with gr.Row():
            index, combine = _slider("face_index", elem_id), _choice("face_combine", elem_id)
        with gr.Row():
            shortcut, lora = _slider("shortcut_scale", elem_id), _slider("lora_scale", elem_id)
        kind = _choice("kind", elem_id)
    refresh.click(fn=lambda: gr.update(choices=list(faces())), inputs=[], outputs=[face], show_progress="hidden")
    return {
        "face": face,
        "face_index": index,
        "face_combine": combine,
        "shortcut_scale": shortcut,
        "lora_scale": lora,
        "kind": kind,
    }


def _encoder(elem_id: str, encoders: Choices, refresh: gr.Button) -> gr.Dropdown:
    """A pasted name may be of an encoder that is not here: that is said when it is asked for."""

    def listed() -> list[str]:
        return [AUTOMATIC, *encoders()]

    dropdown = gr.Dropdown(listed(), value=AUTOMATIC, allow_custom_value=True, **_props("encoder", elem_id))
    refresh.click(fn=lambda: gr.update(choices=listed()), inputs=[], outputs=[dropdown], show_progress="hidden")
    return dropdown


def show_view(image: Image.Image | None) -> tuple[Any, str]:
    """What the encoder will see of a picture, and the picture's hash."""
    if image is None:
        return gr.update(value=None, visible=False), ""
    view = encoder_view(image)
    text = f"Picture {content_hash(image)[: infotext.HASH_LENGTH]}"
    if image.width != image.height:
        text += ": only the square in its middle is seen"
    return gr.update(value=view, visible=True), text


def _keep_out_of_saved_defaults(controls: Sequence[UnitControls]) -> None:
    """The WebUI saves defaults by label, and all units share theirs: what is saved for one would hold for each.

    The numbers of the first unit may be saved; a unit that is enabled from the start would stop every job.
    """
    for number, unit in enumerate(controls):
        for name, component in unit.fields.items():
            component.do_not_save_to_config = number > 0 or name in NOT_SAVED


def _slider(name: str, elem_id: str) -> gr.Slider:
    field = BY_NAME[name]
    return gr.Slider(
        minimum=field.minimum,
        maximum=field.maximum,
        step=field.step,
        value=float(field.default),
        **_props(name, elem_id),
    )


def _choice(name: str, elem_id: str) -> gr.Dropdown:
    field = BY_NAME[name]
    return gr.Dropdown(choices=list(field.choices), value=field.default, **_props(name, elem_id))


def _props(name: str, elem_id: str) -> dict[str, Any]:
    return {"label": BY_NAME[name].label, "elem_id": f"{elem_id}_{name}"}


def _paste_unit(
    unit: UnitControls, number: int, resolve: Resolve, faces: Choices
) -> list[tuple[Any, Callable[[Any], Any]]]:
    """A unit that the parameters do not mention is switched off, and otherwise left as it is."""

    def value_of(name: str) -> Callable[[Any], Any]:
        unsaid = AUTOMATIC if name == "encoder" else BY_NAME[name].default if BY_NAME[name].rare else None

        def value(parameters: Any) -> Any:
            found = infotext.read(parameters, number)
            return found.get(name, unsaid if found else None)

        return value

    def face(parameters: Any) -> str | None:
        found = infotext.read(parameters, number)
        wanted = found.get("face", NONE)
        if wanted != NONE and wanted not in faces():
            compat.warn(f"IP-Adapter: there is no saved face {wanted!r} here; choose another one.")
            return NONE
        return wanted if found else None

    def model(parameters: Any) -> str | None:
        wanted = infotext.read(parameters, number).get("model")
        found = resolve(wanted) if wanted else None
        if wanted and found is None:
            compat.warn(f"IP-Adapter: there is no model {wanted!r} here; choose another one.")
        return found

    def note(parameters: Any) -> str:
        wanted = infotext.read(parameters, number).get("image")
        return f"Made with picture {wanted}: add it here" if wanted and wanted.isalnum() else ""

    special = {"model": model, "face": face, "enabled": lambda parameters: bool(infotext.read(parameters, number))}
    fields = [
        (component, special.get(name, value_of(name))) for name, component in unit.fields.items() if name != "image"
    ]
    return [*fields, (unit.note, note)]
