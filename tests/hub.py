"""A Hugging Face hub on this machine: what the real client asks for, and the ways in which servers fail."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

COMMIT = "c" * 40


def git_blob(content: bytes) -> str:
    """The name that git gives to a content, and the hub to small files as their ETag."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass
class Asked:
    """A request that came in."""

    method: str
    path: str
    start: int
    """Of the range that was asked for; 0 for all."""
    sent: int = 0
    """Bytes of the body that went out."""


@dataclass
class Hub:
    """Serves `files` as large ones, from a second address that the first redirects to; ``*.json`` as small ones.

    Whoever sets one of the rest makes it fail.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    """``repo/path in it`` -> content."""
    asked: list[Asked] = field(default_factory=list)
    etags: dict[str, str] = field(default_factory=dict)
    """What is announced instead of the content's hash."""
    status: int = 0
    """Answered to everything."""
    cut: int = 0
    """Bytes of each body after which the connection breaks."""
    knows_ranges: bool = True
    gate: Event = field(default_factory=Event)
    """No body goes on beyond its first half before this is set."""
    url: str = ""
    other: str = ""

    def __post_init__(self) -> None:
        self.gate.set()

    @property
    def downloads(self) -> list[Asked]:
        """Requests that were answered with a content."""
        return [asked for asked in self.asked if asked.method == "GET" and asked.sent]

    def etag(self, name: str) -> str:
        content = self.files[name]
        mine = git_blob(content) if name.endswith(".json") else hashlib.sha256(content).hexdigest()
        return self.etags.get(name, mine)


class Handler(BaseHTTPRequestHandler):
    """One connection to either address."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        start = int((re.findall(r"bytes=(\d+)-", self.headers.get("Range", "")) or ["0"])[0])
        asked = Asked(self.command, self.path, start)
        self.hub.asked.append(asked)
        known = re.fullmatch(r"/(?:cdn/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", self.path)
        name = f"{known[1]}/{known[2]}" if known else ""
        if self.hub.status or name not in self.hub.files:
            self._head(self.hub.status or 404, {"X-Error-Code": "EntryNotFound"} if not self.hub.status else {}, 0)
        elif name.endswith(".json") or self.path.startswith("/cdn/"):
            self._content(name, asked)
        else:
            size = len(self.hub.files[name])
            linked = {"X-Linked-Etag": f'"{self.hub.etag(name)}"', "X-Linked-Size": str(size)}
            self._head(302, {"Location": f"{self.hub.other}/cdn{self.path}", **linked}, 0)

    def _content(self, name: str, asked: Asked) -> None:
        content = self.hub.files[name]
        start = asked.start if self.hub.knows_ranges else 0
        partly = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self._head(206 if start else 200, {"ETag": f'"{self.hub.etag(name)}"', **partly}, len(content) - start)
        if self.command == "GET":
            self._body(content[start:], asked)

    def _body(self, body: bytes, asked: Asked) -> None:
        for half in (body[: len(body) // 2], body[len(body) // 2 :]):
            part = half[: self.hub.cut - asked.sent] if self.hub.cut else half
            self.wfile.write(part)
            asked.sent += len(part)
            self.hub.gate.wait(30)
        self.close_connection = self.close_connection or asked.sent < len(body)

    def _head(self, status: int, headers: dict[str, str], length: int) -> None:
        self.send_response(status)
        for name, value in {"X-Repo-Commit": COMMIT, "Content-Length": str(length), **headers}.items():
            self.send_header(name, value)
        self.end_headers()


class Server(ThreadingHTTPServer):
    """Says nothing of clients that went away."""

    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None: ...


@contextmanager
def serving() -> Iterator[Hub]:
    """A hub, as long as entered."""
    hub = Hub()
    servers = [Server(("127.0.0.1", 0), type("Mine", (Handler,), {"hub": hub})) for _ in range(2)]
    hub.url, hub.other = (f"http://127.0.0.1:{server.server_port}" for server in servers)
    for server in servers:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield hub
    finally:
        hub.gate.set()
        for server in servers:
            server.shutdown()
            server.server_close()


def online(patch: Callable[[Any, str, Any], None], *, pieces: int | None = None) -> None:
    """Makes this process's client speak to servers, and hand over its data in small pieces.

    Other tests may have imported it switched off, as the command line does; it reads HF_HUB_OFFLINE once.
    """
    import huggingface_hub

    patch(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    if pieces:
        patch(huggingface_hub.constants, "DOWNLOAD_CHUNK_SIZE", pieces)
    fresh_client()


def fresh_client() -> None:
    """Version 0.25 decides once per connection whether it is switched off; newer ones decide at each request."""
    from huggingface_hub.utils import _http

    if hasattr(_http, "reset_sessions"):
        _http.reset_sessions()
