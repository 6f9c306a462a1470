"""The WebUI's HTTP API, as a user of it sees it."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Json = dict[str, Any]

DEFAULTS: Json = {
    "prompt": "a cat",
    "negative_prompt": "a dog",
    "steps": 3,
    "width": 64,
    "height": 64,
    "seed": 1,
    "sampler_name": "Euler",
    "scheduler": "Automatic",
}

HIRES: Json = {
    "enable_hr": True,
    "hr_scale": 1.5,
    "hr_upscaler": "Latent",
    "hr_second_pass_steps": 2,
    "denoising_strength": 0.7,
}
"""What a request needs besides, for a second pass."""

TITLE = "IP-Adapter"


class Refused(Exception):  # noqa: N818 - an answer, not always an error
    """An answer with an error status."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(f"HTTP {status}: {body}")
        self.status = status
        self.body = body

    @property
    def detail(self) -> str:
        """The sentence."""
        return str(self.body.get("detail"))


@dataclass(frozen=True)
class Answer:
    """Pictures that were made."""

    pictures: list[Pixels]
    info: Json

    @property
    def picture(self) -> Pixels:
        """The first."""
        return self.pictures[0]

    @property
    def infotext(self) -> str:
        """Generation parameters of the first picture."""
        return self.info["infotexts"][0]


@dataclass(frozen=True)
class Client:
    """Speaks to the WebUI at `url`."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str) -> Any:
        return self._send(urllib.request.Request(self.url + path, headers=dict(self.headers)))

    def post(self, path: str, body: Any = None) -> Any:
        data = json.dumps(body if body is not None else {}).encode()
        headers = {"Content-Type": "application/json", **self.headers}
        return self._send(urllib.request.Request(self.url + path, data, headers))

    def txt2img(self, units: Sequence[Any] | None = None, **changes: Any) -> Answer:
        """A picture; `units` go to the extension, None leaves it out of the request."""
        return self._make("txt2img", units, changes)

    def img2img(self, source: Image.Image, units: Sequence[Any] | None = None, **changes: Any) -> Answer:
        """A picture from a picture."""
        return self._make("img2img", units, {"init_images": [encode(source)], **changes})

    def settle(self) -> None:
        """Before img2img where each bit counts.

        The WebUI encodes the source picture with whatever random numbers the run before has left for it.
        """
        self.txt2img()

    @contextmanager
    def settings(self, **options: Any) -> Iterator[None]:
        """The WebUI's settings changed, and set back: some that a request overrides stay overridden."""
        before = self.get("/sdapi/v1/options")
        self.post("/sdapi/v1/options", options)
        try:
            yield
        finally:
            self.post("/sdapi/v1/options", {name: before[name] for name in options})

    def _make(self, kind: str, units: Sequence[Any] | None, changes: Json) -> Answer:
        body = DEFAULTS | changes
        scripts = dict(body.get("alwayson_scripts", {}))
        if units is not None:
            scripts[TITLE] = {"args": list(units)}
        answer = self.post(f"/sdapi/v1/{kind}", {**body, "alwayson_scripts": scripts})
        return Answer([decode(text) for text in answer["images"]], json.loads(answer["info"]))

    def _send(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(error.code, json.loads(error.read())) from None


def encode(image: Image.Image) -> str:
    """As bare base64."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def decode(text: str) -> Pixels:
    """RGB values of a picture in base64."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"))


def difference(one: Pixels, other: Pixels) -> int:
    """The largest difference of any value, of 255."""
    assert one.shape == other.shape
    return int(np.abs(one.astype(int) - other.astype(int)).max())
