"""Routes beside the WebUI's own API, and behind whatever protects that."""

from __future__ import annotations

import base64
import logging
from typing import Any

from fastapi import Body, FastAPI, HTTPException

from lib_ipadapter import __version__
from lib_ipadapter.errors import IPAdapterError, UnitError
from lib_ipadapter.hosts.a1111 import A1111Host, alone, loaded_unet
from lib_ipadapter.hosts.a1111_folders import (
    adapter_folders,
    cache_folder,
    encoder_folders,
    preset_folder,
    without_folders,
)
from lib_ipadapter.session.disk import DiskCache
from lib_ipadapter.session.library import LIBRARY
from lib_ipadapter.session.presets import Presets
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import PICTURES
from lib_ipadapter.webui import models, saved_prompts

LOG = logging.getLogger("IP-Adapter")

WATCHED = "/sdapi/v1/options"
"""The route whose protection (``--api-auth``, or what else a WebUI puts there) ours get too."""


NAME, UNIT = Body(), Body()
"""Parameters that come as keys of the request's JSON; the WebUI's fastapi (0.94) knows no ``Annotated``."""


def get_models() -> list[dict[str, Any]]:
    """Every adapter, what it is, and whether it fits the loaded checkpoint."""
    return models.adapters(adapter_folders(), loaded_unet())


def get_encoders() -> list[dict[str, Any]]:
    """Every image encoder, and how wide what it gives is."""
    return models.encoders(encoder_folders())


def unload(cache: bool = False) -> dict[str, int]:
    """Frees what the extension keeps in memory, once no job needs it; the next picture reads its files again.

    `cache`: removes what is kept of pictures on the disk as well.
    """
    removed = {"removed": DiskCache(cache_folder(), 0).clear()} if cache else {}
    with alone():
        return {"freed": LIBRARY.unload(), **removed}


def get_version() -> dict[str, Any]:
    """Of the extension, and the fields that a unit has in it."""
    return {"version": __version__, "fields": [field.name for field in FIELDS]}


def encode(unit: dict[str, Any]) -> dict[str, Any]:
    """A unit's pictures as a saved image prompt: the file's content in base64, for the field ``embeds``."""
    try:
        with alone():
            saved = saved_prompts.encode(unit, A1111Host())
    except IPAdapterError as error:
        raise _refusal(422, error) from None
    items, tokens, _ = saved.embeds.cond.shape
    about = {"items": items, "tokens": tokens, "adapter": saved.adapter, "adapter_sha256": saved.adapter_sha256}
    return {"embeds": base64.b64encode(saved.data()).decode(), "variant": saved.variant, **about}


def get_presets() -> dict[str, dict[str, Any]]:
    """Every preset by name, each as a unit of the API without pictures."""
    return _presets().load_all()


def put_preset(name: str = NAME, unit: dict[str, Any] = UNIT) -> dict[str, str]:
    """Saves a unit's settings under a name; pictures in it are not looked at."""
    try:
        pictures = {field.name for field in FIELDS if field.type in PICTURES}
        settings = Unit.parse({key: value for key, value in unit.items() if key not in pictures})
        return {"name": _presets().save(name, settings)}
    except UnitError as error:
        raise _refusal(422, error) from error


def delete_preset(name: str) -> dict[str, str]:
    """Forgets a preset."""
    try:
        _presets().delete(name)
    except UnitError as error:
        raise _refusal(404, error) from error
    return {"name": name}


def _refusal(status: int, error: IPAdapterError) -> HTTPException:
    LOG.warning(str(error))
    return HTTPException(status, without_folders(str(error)))


def _presets() -> Presets:
    return models.presets(preset_folder(), adapter_folders)


ROUTES = (
    ("GET", "/ip-adapter/models", get_models),
    ("GET", "/ip-adapter/encoders", get_encoders),
    ("POST", "/ip-adapter/unload", unload),
    ("GET", "/ip-adapter/version", get_version),
    ("POST", "/ip-adapter/encode", encode),
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
