"""What happens at each of the WebUI's callbacks."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

from fastapi import HTTPException

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.hosts.a1111 import A1111Host, adapter_folders
from lib_ipadapter.session import infotext
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import models, settings
from lib_ipadapter.webui.api import parse_units

LOG = logging.getLogger("IP-Adapter")


class IPAdapterStopped(HTTPException):
    """Ends a job with a sentence: an error status in the API; in the page it follows this class's name."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(status_code=status, detail=sentence)

    def __str__(self) -> str:
        return str(self.detail)


class Door:
    """Holds the one open generation of the WebUI, whichever tab or API call it belongs to."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._parsed: tuple[Any, Sequence[Any], list[Unit]] = (None, (), [])

    def process(self, processing: Any, args: Sequence[Any]) -> None:
        """A job begins. Whatever an interrupted one left open is closed, and the infotext written."""
        self.close()
        _unwrite(processing)
        try:
            units = self._units(processing, args)
            written = infotext.write(units, lambda name: models.bare_name(name, adapter_folders()))
            processing.extra_generation_params.update(written)
        except IPAdapterError:
            LOG.debug("The same arguments fail again before sampling, where it can be said", exc_info=True)

    def before_sampling(self, processing: Any, args: Sequence[Any]) -> None:
        """A sampling begins: first pass, hires pass, each batch."""
        self.close()
        job = weakref.ref(processing)
        host = A1111Host(processing, lambda error: self._fail(job(), host, IPAdapterStopped(str(error), 422)))
        stopped = None
        try:
            self._enter(processing, Generation(host, self._units(processing, args)))
        except IPAdapterError as error:
            stopped = IPAdapterStopped(str(error), 422)
        except Exception as error:
            LOG.exception("Unexpected failure")
            reason = " ".join(str(error).split("\n", maxsplit=1)[0].split())
            sentence = f"IP-Adapter failed unexpectedly: {type(error).__name__}: {reason}; the log says more."
            stopped = IPAdapterStopped(sentence, 500)
        if stopped:  # outside of `except`: an exception raised there would hold the first, and what was half read
            self._stop(processing, host, stopped)

    def close(self) -> None:
        """Every hook gone, the UNet as it was."""
        self._open.close()

    def _units(self, processing: Any, args: Sequence[Any]) -> list[Unit]:
        """Parsed once for all batches and passes of a job, because pictures may be large."""
        job, known, units = self._parsed
        if job is None or job() is not processing or not _same(known, args):
            units = parse_units(args)
            self._parsed = (weakref.ref(processing, self._forget), args, units)
        return units

    def _forget(self, job: weakref.ref[Any]) -> None:
        """With a job go its pictures."""
        if self._parsed[0] is job:
            self._parsed = (None, (), [])

    def _enter(self, processing: Any, generation: Generation) -> None:
        """An exception inside the sampling reaches no callback; then the end of the processing object closes."""
        self._open.enter_context(generation)
        self._open.callback(weakref.finalize(processing, generation.close).detach)

    def _fail(self, processing: Any, host: A1111Host, error: IPAdapterStopped) -> None:
        """Raises `error`, unless the user wants a plain picture then; its parameters claim nothing else."""
        if not settings.goes_on():
            LOG.error(str(error))
            raise error
        _unwrite(processing)
        host.notice(str(error))

    def _stop(self, processing: Any, host: A1111Host, error: IPAdapterStopped) -> None:
        """The WebUI swallows what a callback raises; what is raised inside the UNet's call ends the job."""
        try:
            self._fail(processing, host, error)
        except IPAdapterStopped:
            self._open.callback(host.unet().register_forward_pre_hook(partial(self._raise, error)).remove)

    def _raise(self, error: IPAdapterStopped, *_: Any) -> None:
        self.close()
        raise error


def _unwrite(processing: Any) -> None:
    """Takes back what an infotext says; copies of a processing object, as in a grid, all share theirs."""
    parameters = processing.extra_generation_params
    for key in [key for key in parameters if key.startswith(infotext.KEY)]:
        del parameters[key]


def _same(known: Sequence[Any], args: Sequence[Any]) -> bool:
    """The very same values; comparing pictures pixel by pixel would cost more than it saves."""
    return len(known) == len(args) and all(a is b for a, b in zip(known, args, strict=True))
