"""One example: pictures that go in, and a row of pictures that come out."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui.api import parse_units
from pocket.examples.pictures import named

MODEL = "ip-adapter_pocket_base"

NAMED = re.compile(r"<(.+?\.png) in base64>")
"""How a picture stands in a payload that people read."""


@dataclass(frozen=True)
class Cell:
    """One picture that is drawn."""

    caption: str
    units: tuple[Mapping[str, Any], ...] = ()
    """As the API takes them; a picture is the name of one of `PICTURES`, in a form that `picture` gives."""
    prompt: str | None = None
    """In place of the example's."""


@dataclass(frozen=True)
class Example:
    """One feature."""

    name: str
    """Of the PNG."""
    title: str
    about: str
    """What there is to see, and what the feature is for."""
    cells: tuple[Cell, ...]
    """With only one there is nothing to see, and no picture."""
    shown: int = -1
    """The cell whose payload is given."""
    prompt: str = ""
    seed: int = 4
    job: Mapping[str, Any] = field(default_factory=dict)
    """What the payload says besides, of the job or of a script of the WebUI."""

    behind: tuple[str, ...] = ()
    """Names of pictures that went into what the payload calls by a name."""

    @property
    def route(self) -> str:
        """Below ``/sdapi/v1/``."""
        return "img2img" if "init_images" in self.job else "txt2img"

    @property
    def payload(self) -> dict[str, Any]:
        """What to send to the route for the cell that is shown."""
        cell = self.cells[self.shown]
        prompt = self.prompt if cell.prompt is None else cell.prompt
        return {"prompt": prompt, **self.job, "alwayson_scripts": {"IP-Adapter": {"args": list(cell.units)}}}

    @property
    def drawn(self) -> bool:
        """Whether there is a picture of it."""
        return len(self.cells) > 1

    @property
    def pictures(self) -> list[str]:
        """Names of all that go in, each once, in the order in which they are met."""
        return list(dict.fromkeys(NAMED.findall(json.dumps([*(cell.units for cell in self.cells), dict(self.job)]))))


def unit(image: str | None = None, **fields: Any) -> dict[str, Any]:
    """A unit's object; `image` is the name of a picture."""
    return {**({"image": picture(image)} if image else {}), "model": MODEL, **fields}


def picture(name: str) -> str:
    """How the picture called `name` stands in a payload."""
    return f"<{name}.png in base64>"


def parsed(units: Sequence[Mapping[str, Any]]) -> list[Unit]:
    """What the API makes of units, each picture put where its name stands. Raises `UnitError`."""
    return parse_units(json.loads(filled(json.dumps(list(units)))))


def filled(text: str) -> str:
    """A payload's text with pictures for their names."""
    return NAMED.sub(lambda match: encoded(named(match[0])), text)


def encoded(image: Image.Image) -> str:
    """A PNG in base64."""
    data = io.BytesIO()
    image.save(data, "PNG")
    return base64.b64encode(data.getvalue()).decode()
