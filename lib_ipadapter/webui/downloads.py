"""*Get models*, folded below the units: one published file after a click, with its encoder, and a way to stop it."""

from __future__ import annotations

import html
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import gradio as gr

from lib_ipadapter.errors import IPAdapterError, reason
from lib_ipadapter.session.arriving import Progress, Watch
from lib_ipadapter.session.download import get
from lib_ipadapter.session.needs import with_encoder
from lib_ipadapter.session.published import PUBLISHED, find_published
from lib_ipadapter.session.remote import Published, Shelf, megabytes
from lib_ipadapter.webui import compat

LOG = logging.getLogger("IP-Adapter")

Folders = Callable[[Shelf], Sequence[Path]]
"""Where files of a kind are looked for; the first is where they are put."""

STARTED_WITH = "ip-adapter_sd15.safetensors"
"""Chosen when the page opens: the place to start."""


class Downloads:
    """The one download of a panel. It goes on when the page is closed; who comes back may follow or cancel it."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._thread: Thread | None = None
        self._changed, self._cancel = Event(), Event()
        self._name = self._said = self._untold = ""

    def follow(self, name: str) -> Iterator[str]:
        """Gets `name`, if nothing is running, and says how far it is until it has ended, for better or worse."""
        if self._running and self._cancel.is_set():
            yield f"{self._name} is still being cancelled; click again when the server has answered."
            return
        if self._running and name != self._name:
            yield f"{self._name} is being downloaded; wait until that has ended, or cancel it."
            return
        if not self._running:
            self._start(find_published(name))
        while self._running and not self._cancel.is_set():
            yield self._said
            self._changed.wait(0.5)
            self._changed.clear()
        # A thread that waits for a slow server ends when the server has answered; nobody need wait for it.
        yield f"{name}: cancelled; what has arrived is kept." if self._running else self._said

    def look(self, name: str) -> str:
        """The same for a page that hears only once: begins, or says how far it is, or how it has ended."""
        if name == self._untold and not self._running:
            self._untold = ""
            return self._said
        said = next(self.follow(name))
        self._untold = self._name
        return f"{said}; press Get again to see how far it is." if said is self._said else said

    def cancel(self) -> None:
        """Stops what is running; the next click goes on with what has arrived."""
        self._cancel.set()
        self._changed.set()

    @property
    def _running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _start(self, item: Published) -> None:
        self._name, self._said, self._cancel = item.name, f"{item.name}: asking the server", Event()
        self._thread = Thread(target=self._run, args=(item, Watch(self._show, self._cancel)), daemon=True)
        self._thread.start()

    def _run(self, item: Published, watch: Watch) -> None:
        try:
            wanted = with_encoder(item, self._folders(Shelf.ENCODERS))
            self._said = " ".join([get(one, self._folders(one.shelf)[0], watch) for one in wanted])
        except IPAdapterError as error:
            self._said = str(error)
        except Exception as error:
            LOG.exception("Unexpected failure")
            self._said = f"{item.name}: {type(error).__name__}: {reason(error)}; the log says more."
        self._changed.set()

    def _show(self, progress: Progress) -> None:
        of = f" of {megabytes(progress.total)}" if progress.total else ""
        percent = f" ({progress.done / progress.total:.0%})" if progress.total else ""
        self._said = f"{progress.name}: {megabytes(progress.done)}{of}{percent}"
        self._changed.set()


def build(elem_id: str, folders: Folders, *, has_queue: bool = True, shown: Callable[[str], str] = str) -> Downloads:
    """The accordion; see `panel.build`. When something has been got, every list of models in the page is refreshed."""
    downloads = Downloads(folders)
    with gr.Accordion("Get models", open=False, elem_id=elem_id):
        file = gr.Dropdown(
            choices=[item.name for item in PUBLISHED], value=STARTED_WITH, label="File", elem_id=f"{elem_id}_file"
        )
        facts = gr.HTML(
            describe(STARTED_WITH, folders, shown), elem_id=f"{elem_id}_facts", elem_classes=["ip-adapter-note"]
        )
        with gr.Row(elem_classes=["ip-adapter-buttons"]):
            start = gr.Button("Get", size="sm", elem_id=f"{elem_id}_start")
            cancel = gr.Button("Cancel", size="sm", elem_id=f"{elem_id}_cancel")
        status = gr.HTML(elem_id=f"{elem_id}_status")
    # What was chosen last is nobody's default.
    file.do_not_save_to_config = True  # pyright: ignore[reportAttributeAccessIssue]

    def follow(name: str) -> Iterator[str]:
        for said in downloads.follow(name):
            yield html.escape(shown(said))

    def look(name: str) -> str:
        return html.escape(shown(downloads.look(name)))

    file.change(lambda name: describe(name, folders, shown), [file], [facts], show_progress="hidden")
    ended = start.click(follow if has_queue else look, [file], [status], show_progress="hidden")
    compat.run_script(ended.then, "() => window.ipAdapterRefreshModels?.()")
    # Not queued: it would wait behind what it is to stop.
    cancel.click(downloads.cancel, queue=False)
    return downloads


def describe(name: str, folders: Folders, shown: Callable[[str], str] = str) -> str:
    """The table's row, as HTML. Opens no file: it is made whenever the page is."""
    item = find_published(name)
    folder = folders(item.shelf)[0]
    rows = {
        "For": item.about,
        "Size": megabytes(item.size),
        "Licence": item.repository.licence.value,
        "From": f"{item.repository.name} at {item.repository.revision or 'its newest state'}",
        "SHA-256": item.weights.sha256 or "not known here; what the server says is compared",
        "Into": f"{shown(str(folder))}{', where it is' if item.is_in(folder) else ''}",
    }
    if item.encoder:
        encoder = find_published(item.encoder)
        rows["With"] = f"the image encoder {encoder.name}, {megabytes(encoder.size)}, unless one of its width is there"
    return "<br>".join(f"{label}: {html.escape(value)}" for label, value in rows.items())
