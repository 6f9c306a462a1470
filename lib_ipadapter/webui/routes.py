"""Routes beside the WebUI's own API, and behind whatever protects that."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from lib_ipadapter.hosts.a1111 import adapter_folders, encoder_folders, loaded_unet
from lib_ipadapter.session.library import LIBRARY
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


ROUTES = (
    ("GET", "/ip-adapter/models", get_models),
    ("GET", "/ip-adapter/encoders", get_encoders),
    ("POST", "/ip-adapter/unload", unload),
)


def mount(_: Any, app: FastAPI) -> None:
    """Called by the WebUI once its own routes are there; where it answers no API (without ``--api``), nor do we."""
    there = {getattr(route, "path", ""): getattr(route, "dependencies", []) for route in app.routes}
    for method, path, answer in ROUTES if WATCHED in there else ():
        if path not in there:
            app.add_api_route(path, answer, methods=[method], dependencies=there[WATCHED])
