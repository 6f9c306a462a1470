"""ControlNet's units, as its API takes them."""

from __future__ import annotations

from PIL import Image

from tests.live.client import Client, Json, encode

CLIP_VIT_H = "ip-adapter_clip_h"
"""Its name for what prepares the picture."""


def unit(picture: Image.Image, module: str, model: str = "None", weight: float = 1.0) -> Json:
    return {"enabled": True, "image": encode(picture), "module": module, "model": model, "weight": weight}


def full_name(client: Client, name: str) -> str:
    """ControlNet names a model with a hash behind it."""
    names = client.get("/controlnet/model_list?update=true")["model_list"]
    return next(full for full in names if full.split(" [", maxsplit=1)[0] == name)


def ip_adapter(client: Client, picture: Image.Image, name: str, weight: float) -> Json:
    """Its own IP-Adapter."""
    return unit(picture, CLIP_VIT_H, full_name(client, name), weight)


def t2i_adapter(client: Client, picture: Image.Image) -> Json:
    return {
        **unit(picture, "canny", full_name(client, "t2iadapter_canny_sd15_live")),
        "processor_res": 64,
        "threshold_a": 100,
        "threshold_b": 200,
    }


def reference_only(picture: Image.Image) -> Json:
    return {**unit(picture, "reference_only"), "threshold_a": 0.5}


def script(*units: Json) -> Json:
    """As a request carries them."""
    return {"alwayson_scripts": {"controlnet": {"args": list(units)}}}
