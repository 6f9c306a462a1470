"""What happens at each of the WebUI's callbacks."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import HTTPException

from lib_ipadapter.errors import IPAdapterError, reason
from lib_ipadapter.hosts.a1111 import A1111Host, note_down, notice
from lib_ipadapter.hosts.a1111_folders import adapter_folders, without_folders
from lib_ipadapter.hosts.a1111_steps import first_item
from lib_ipadapter.maths.combine import Combination
from lib_ipadapter.session import infotext
from lib_ipadapter.session.generation import Generation
from lib_ipadapter.session.ignored import replaced
from lib_ipadapter.session.unit import Unit
from lib_ipadapter.webui import models, settings
from lib_ipadapter.webui.jobs import around, is_only_reported, pass_of, upscaled
from lib_ipadapter.webui.parsed import ParsedUnits
from lib_ipadapter.webui.references import with_picture
from lib_ipadapter.webui.resting import nowhere, without_detailer, without_hires, without_sampling

LOG = logging.getLogger("IP-Adapter")


class IPAdapterStopped(HTTPException):
    """Ends a job with a sentence: an error status in the API; in the page it follows this class's name."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(status_code=status, detail=without_folders(sentence))
        self.sentence = sentence
        """For the log: with this machine's folders in it."""

    def __str__(self) -> str:
        return str(self.detail)


class Door:
    """Holds the one open generation of the WebUI, whichever tab or API call it belongs to."""

    def __init__(self) -> None:
        self._open = ExitStack()
        self._parsed = ParsedUnits()
        self._sampled: Callable[[], Any] = lambda: None
        """Gives the last job that announced a sampling, while it is there."""
        self._detailed: Callable[[], Any] = lambda: None
        """The same for one that had another inside it."""

    def process(self, processing: Any, args: Sequence[Any]) -> None:
        """A job begins. Whatever an interrupted one left open is closed, and the infotext written.

        A job inside another has parameters of its own, or shares those of the picture that it works on: both are left
        as they are. So are those of a job that has begun: they may say by now that the adapter failed.
        """
        self.close()
        if around() or is_only_reported(processing):
            return
        self._sampled = self._detailed = lambda: None
        _withdraw(processing)
        try:
            units = self._units(processing, args)
            shown = [_with_known_picture(unit, processing) for unit in units]
            pictures = getattr(processing, "n_iter", 1) * processing.batch_size
            written = infotext.write_each(shown, lambda name: models.bare_name(name, adapter_folders()), pictures)
            for key, text in written.items():
                processing.extra_generation_params[key] = text if isinstance(text, str) else _of_each(text)
            host = A1111Host(processing)
            for sentence in (*nowhere(units), *without_hires(processing, units)):
                host.remark(sentence)
        except IPAdapterError:
            LOG.debug("The same arguments fail again before sampling, where it can be said", exc_info=True)

    def before_sampling(self, processing: Any, args: Sequence[Any]) -> None:
        """A sampling begins: first pass, hires pass, each batch, each job inside the job."""
        self.close()
        outer = around()
        job = weakref.ref(processing)
        if outer:
            self._detailed = weakref.ref(outer[0])
        else:
            self._sampled = job
        host = A1111Host(
            processing, lambda error: self._fail(job(), host, IPAdapterStopped(str(error), 422)), within=outer
        )
        stopped = None
        try:
            self._enter(processing, Generation(host, self._acting(processing, args, host)))
        except IPAdapterError as error:
            stopped = IPAdapterStopped(str(error), 422)
        except Exception as error:
            LOG.exception("Unexpected failure")
            sentence = f"IP-Adapter failed unexpectedly: {type(error).__name__}: {reason(error)}; the log says more."
            stopped = IPAdapterStopped(sentence, 500)
        if stopped:  # outside of `except`: an exception raised there would hold the first, and what was half read
            self._stop(processing, host, stopped)

    def end(self, processing: Any, processed: Any, args: Sequence[Any]) -> None:
        """A job is over. Its comments are written by now, so what is said only here is added to them, and to those that
        a script writes which makes one result of many jobs (Loopback, SD upscale).

        The parameters of its pictures are written too, but not yet those that an answer of the API begins with.
        """
        self.close()
        if around() or is_only_reported(processing):
            return
        try:
            said = self._missed(processing, processed, self._parsed.of(processing, args))
        except IPAdapterError:  # said before sampling, where the job ended or went on without
            return
        for sentence in said:
            LOG.warning(sentence)
            note_down(processing.extra_generation_params, sentence)
            if sentence not in processed.comments:  # of a job that is processed again, it is there already
                processed.comments += f"{sentence}\n"
            processing.comment(sentence)

    def _missed(self, processing: Any, processed: Any, units: Sequence[Unit]) -> list[str]:
        """What units waited for in vain. A job that was interrupted before it began has no pictures."""
        sampled = self._sampled() is processing or not processed.images
        detailed = self._detailed() is processing
        return [*(() if sampled else without_sampling(units)), *(() if detailed else without_detailer(units))]

    def close(self) -> None:
        """Every hook gone, the UNet as it was."""
        self._open.close()

    def _units(self, processing: Any, args: Sequence[Any]) -> list[Unit]:
        """As the arguments say; of a picture that is upscaled by itself each unit has the reference that it had."""
        units, earlier = self._parsed.of(processing, args), upscaled(processing)
        if earlier is None:
            return units
        starts = [infotext.read(earlier, number).get("batch_start", 0) for number in range(1, len(units) + 1)]
        return [
            replace(unit, batch_start=start) if unit.combine == Combination.BATCH else unit
            for unit, start in zip(units, starts, strict=True)
        ]

    def _acting(self, processing: Any, args: Sequence[Any], host: A1111Host) -> list[Unit]:
        """The units that have a part in the pass at hand, each with its picture."""
        now = pass_of(processing)
        units = [unit for unit in self._units(processing, args) if unit.acts_in(now)]
        for sentence in (sentence for unit in units if unit.active for sentence in replaced(unit)):
            host.remark(sentence)
        return [with_picture(unit, [*around(), processing]) for unit in units]

    def _enter(self, processing: Any, generation: Generation) -> None:
        self._open.enter_context(generation)
        self._until_gone(processing, generation.close)

    def _until_gone(self, processing: Any, undo: Callable[[], None]) -> None:
        """An exception inside the sampling reaches no callback; then the end of the processing object undoes it."""
        self._open.callback(weakref.finalize(processing, undo).detach)

    def _fail(self, processing: Any, host: A1111Host, error: IPAdapterStopped) -> None:
        """Raises `error`, unless the user wants a plain picture then; its parameters claim nothing else.

        What a job inside another raises, the WebUI swallows; so the picture that it would have worked on says it.
        """
        outer = around()
        for job in outer:
            notice(job, error.sentence)
        if not settings.goes_on():
            LOG.error(error.sentence)
            raise error
        if not outer:
            _withdraw(processing)
        host.notice(error.sentence)

    def _stop(self, processing: Any, host: A1111Host, error: IPAdapterStopped) -> None:
        """The WebUI swallows what a callback raises; what is raised inside the UNet's call ends the job."""
        try:
            self._fail(processing, host, error)
        except IPAdapterStopped:
            # Without the calls that it came through: they hold the processing object, whose end is waited for.
            kept = error.with_traceback(None)
            remove = host.unet().register_forward_pre_hook(partial(self._raise, kept)).remove
            self._open.callback(remove)
            self._until_gone(processing, remove)

    def _raise(self, error: IPAdapterStopped, *_: Any) -> None:
        self.close()
        raise error


def _with_known_picture(unit: Unit, processing: Any) -> Unit:
    """One that acts inside the job only may get its picture there; what else is missing is said before sampling."""
    try:
        return with_picture(unit, [processing])
    except IPAdapterError:
        return unit


def _withdraw(processing: Any) -> None:
    """What parameters say of the adapter; a batch of files uses one processing object again and again."""
    parameters = processing.extra_generation_params
    for key in [key for key in parameters if key.startswith(infotext.KEY)]:
        del parameters[key]


def _of_each(texts: Sequence[str]) -> Callable[..., str]:
    """What the WebUI calls for the parameters of each picture (processing.py:806), by names.

    It would take a list as well, but counts in that from the beginning of each batch (1027), and not of the job.
    """

    def text(p: Any, index: int, all_seeds: Any, *, use_main_prompt: bool = False, **_: Any) -> str:
        before = first_item(p) if all_seeds is getattr(p, "seeds", None) else 0
        return texts[0 if use_main_prompt else (before + index) % len(texts)]

    return text
