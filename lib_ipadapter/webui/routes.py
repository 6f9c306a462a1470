"""Routes beside the WebUI's own API, and behind whatever protects that."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Body, FastAPI, HTTPException

from lib_ipadapter.errors import UnitError
from lib_ipadapter.hosts.a1111 import adapter_folders, encoder_folders, loaded_unet, preset_folder
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.presets import Presets
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import Type
from lib_ipadapter.webui import models

WATCHED = "/sdapi/v1/options"
"""The route whose protection (``--api-auth``, or what else a WebUI puts there) ours get too."""


def get_models() -> list[dict[str, Any]]:
    """Every adapter, what it is, and whether it fits the loaded checkpoint."""
    return models.adapters(adapter_folders(), loaded_unet())


def get_encoders() -> list[dict[str, Any]]:
    """Every image encoder, and how wide what it gives is."""
    return models.encoders(encoder_folders())


def unload() -> dict[str, int]:
    """Frees what the extension keeps in memory; the next picture reads its files again."""
    return {"freed": LIBRARY.unload()}


def get_presets() -> dict[str, dict[str, Any]]:
    """Every preset by name, each as a unit of the API without pictures."""
    presets = _presets()
    return {name: presets.load(name) for name in presets.names()}


def put_preset(name: Annotated[str, Body()], unit: Annotated[dict[str, Any], Body()]) -> dict[str, str]:
    """Saves a unit's settings under a name; pictures in it are not looked at."""
    try:
        pictures = {field.name for field in FIELDS if field.type is Type.PICTURE}
        settings = Unit.parse({key: value for key, value in unit.items() if key not in pictures})
        return {"name": _presets().save(name, settings)}
    except UnitError as error:
        raise HTTPException(422, str(error)) from error


def delete_preset(name: str) -> dict[str, str]:
    """Forgets a preset."""
    try:
        _presets().delete(name)
    except UnitError as error:
        raise HTTPException(404, str(error)) from error
    return {"name": name}


def _presets() -> Presets:
    return models.presets(preset_folder(), adapter_folders)


ROUTES = (
    ("GET", "/ip-adapter/models", get_models),
    ("GET", "/ip-adapter/encoders", get_encoders),
    ("POST", "/ip-adapter/unload", unload),
    ("GET", "/ip-adapter/presets", get_presets),
    ("PUT", "/ip-adapter/presets", put_preset),
    ("DELETE", "/ip-adapter/presets", delete_preset),
)


def mount(_: Any, app: FastAPI) -> None:
    """Called by the WebUI once its own routes are there; where it answers no API (without ``--api``), nor do we."""
    there = {getattr(route, "path", ""): getattr(route, "dependencies", []) for route in app.routes}
    for method, path, answer in ROUTES if WATCHED in there else ():
        if path not in there:
            app.add_api_route(path, answer, methods=[method], dependencies=there[WATCHED])
