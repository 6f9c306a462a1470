"""What happens at each of the WebUI's callbacks."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from fastapi import HTTPException

from lib_ipadapter.errors import IPAdapterError
from lib_ipadapter.hosts.a1111 import A1111Host, adapter_folders
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.webui import infotext, models, settings
from lib_ipadapter.webui.api import parse_units

LOG = logging.getLogger("IP-Adapter")

ERROR_KEY = "IP-Adapter error"
"""Infotext key of a picture that was made without the adapter because it failed."""


class IPAdapterStopped(HTTPException):
    """Ends a job with a sentence: as it stands in the page, as an error status in the API."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(status_code=status, detail=sentence)

    def __str__(self) -> str:
        return str(self.detail)


class Door:
    """Holds the one open generation of the WebUI, whichever tab or API call it belongs to."""

    def __init__(self) -> None:
        self._open = ExitStack()

    def process(self, processing: Any, args: Sequence[Any]) -> None:
        """A job begins. Whatever an interrupted one left open is closed, and the infotext written."""
        self.close()
        try:
            units = parse_units(args)
            written = infotext.write(units, lambda name: models.bare_name(name, adapter_folders()))
            processing.extra_generation_params.update(written)
        except IPAdapterError:
            LOG.debug("The same arguments fail again before sampling, where it can be said", exc_info=True)

    def before_sampling(self, processing: Any, args: Sequence[Any]) -> None:
        """A sampling begins: first pass, hires pass, each batch."""
        self.close()
        host = A1111Host(processing)
        try:
            self._enter(processing, Generation(host, parse_units(args)))
        except IPAdapterError as error:
            self._fail(processing, host, str(error), 422)
        except Exception as error:
            LOG.exception("Unexpected failure")
            sentence = f"IP-Adapter failed unexpectedly, {type(error).__name__}: {error}; see the log."
            self._fail(processing, host, sentence, 500)

    def close(self) -> None:
        """Every hook gone, the UNet as it was."""
        self._open.close()

    def _enter(self, processing: Any, generation: Generation) -> None:
        """An exception inside the sampling reaches no callback; then the end of the processing object closes."""
        self._open.enter_context(generation)
        self._open.callback(weakref.finalize(processing, generation.close).detach)

    def _fail(self, processing: Any, host: A1111Host, sentence: str, status: int) -> None:
        if settings.goes_on():
            parameters = processing.extra_generation_params
            for key in [key for key in parameters if key.startswith(infotext.KEY)]:
                del parameters[key]
            parameters[ERROR_KEY] = sentence
            host.notice(sentence)
        else:
            LOG.error(sentence)
            self._stop(host, IPAdapterStopped(sentence, status))

    def _stop(self, host: A1111Host, error: IPAdapterStopped) -> None:
        """The WebUI swallows what a callback raises; what is raised inside the UNet's call ends the job."""

        def stop(*_: Any) -> None:
            self.close()
            raise error

        self._open.callback(host.unet().register_forward_pre_hook(stop).remove)
