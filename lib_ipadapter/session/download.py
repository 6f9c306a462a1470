"""Published files, got from the Hugging Face hub or a mirror of it: into their folder, checked, whole or not at all.

Nothing here starts by itself: only a click or a command calls `get`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

from filelock import FileLock, Timeout
from huggingface_hub import constants, get_hf_file_metadata
from huggingface_hub.utils import HfHubHTTPError, OfflineModeIsEnabled, build_hf_headers

from lib_ipadapter.errors import DownloadError, reason
from lib_ipadapter.session.arriving import ArrivingFile, Watch
from lib_ipadapter.session.file_order import Digest, Order
from lib_ipadapter.session.remote import Published

OTHER_CLIENT = "HF_HUB_ENABLE_HF_TRANSFER"
"""The hub's own word for whether it takes ``hf_transfer``; hubs since version 1 have none."""


class Check(Enum):
    """What the content was compared with."""

    PUBLISHED = "its hash is the published one"
    HUB = "its hash is the one that the server says, no other is known here"
    NOTHING = "neither this table nor the server knows its hash, so it was not checked"


def get(item: Published, folder: Path, watch: Watch) -> str:
    """`item`'s files into `folder`, unless they are there; says in a sentence what was done. Raises `DownloadError`.

    Folder and temporary file are in one file system, so that a file is there whole or not at all. What has arrived
    before an interruption is kept beside it as ``*.part``, and the next call goes on from there.
    """
    checks = [_get_file(Order.of(item.repository, file, path), watch) for file, path in item.targets(folder)]
    return f"{item.name} is in {folder}; {checks[-1].value}."


def _get_file(order: Order, watch: Watch) -> Check:
    with _alone(order):
        if order.published and order.target.exists():
            return _keep(order, Digest(order.published), Check.PUBLISHED)
        watch.stop_if_cancelled(order)
        with _sentences(order):
            said = get_hf_file_metadata(order.url)
        wanted, check = _wanted(order, Digest.of_etag(said.etag))
        if order.target.exists():
            return _keep(order, wanted, check)
        part = order.target.with_name(f"{order.target.name}.{wanted.value[:12] if wanted else 'unknown'}.part")
        _receive(order, part, said.size, watch)
        _compare(order, part, wanted)
        part.replace(order.target)
        return check


def _wanted(order: Order, announced: Digest | None) -> tuple[Digest | None, Check]:
    """What the content must hash to. A server that announces other content is believed before 2 GB are fetched."""
    if not order.published:
        return announced, Check.HUB if announced else Check.NOTHING
    if announced and len(announced.value) == 64 and announced.value != order.published:
        raise order.error(f"the server has another content than the published one (SHA-256 {announced.value})")
    return Digest(order.published), Check.PUBLISHED


def _keep(order: Order, wanted: Digest | None, check: Check) -> Check:
    """A file of that name is there: it is the wanted one, or somebody else's, which is not touched."""
    if wanted and (found := wanted.of_same_kind(order.target)) != wanted.value:
        raise DownloadError(
            f"{order.target} is there already with another content (hash {found}, expected {wanted.value});"
            " it was left as it is: move it away, or delete it, and get the file again."
        )
    return check


def _receive(order: Order, part: Path, size: int | None, watch: Watch) -> None:
    """The content into `part`, from where an earlier attempt ended."""
    if size is not None and part.exists() and part.stat().st_size > size:
        part.unlink()
    with ArrivingFile(order, part, size, watch) as file, _sentences(order):
        here = file.tell()
        _check_room(order, (size or 0) - here)
        # Not public: a hub that has moved it must cost the download alone, not the extension.
        from huggingface_hub.file_download import http_get  # noqa: PLC0415

        with _one_client():
            # From the URL itself, not from where it redirects to: that address may be good for minutes only.
            http_get(order.url, file, resume_size=here, headers=build_hf_headers(), expected_size=size)


@contextmanager
def _one_client() -> Iterator[None]:
    """Without ``hf_transfer``, which older hubs take where the environment says so.

    It writes past the file that it is given: nobody could look on, nor end it; and it fails on a name that is a path.
    """
    if not getattr(constants, OTHER_CLIENT, False):
        yield
        return
    setattr(constants, OTHER_CLIENT, False)
    try:
        yield
    finally:
        setattr(constants, OTHER_CLIENT, True)


def _check_room(order: Order, missing: int) -> None:
    free = shutil.disk_usage(order.target.parent).free
    if missing > free:
        raise order.disk_full(f"{missing / 1e6:.0f} MB are missing and {free / 1e6:.0f} MB are free")


def _compare(order: Order, part: Path, wanted: Digest | None) -> None:
    if wanted and (found := wanted.of_same_kind(part)) != wanted.value:
        part.unlink()
        raise order.error(
            f"what arrived is damaged or another file (hash {found}, expected {wanted.value}) and was removed;"
            " get it again, perhaps from another server (HF_ENDPOINT)"
        )


@contextmanager
def _alone(order: Order) -> Iterator[None]:
    """Holds a lock file beside the target: two that write into one ``*.part`` would spoil it."""
    path = order.target.with_name(f"{order.target.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        lock.acquire(timeout=0)
    except Timeout:
        raise DownloadError(f"{order.target.name} is being downloaded already; wait until that has ended.") from None
    except OSError as error:
        raise order.cannot_write(error) from error
    try:
        yield
    except OSError as error:
        raise order.cannot_write(error) from error
    finally:
        with suppress(OSError):  # on Windows it cannot be removed while it is held, and stays
            path.unlink()  # while it is held: whoever waits for this one sees that it is gone, and makes another
        lock.release()


@contextmanager
def _sentences(order: Order) -> Iterator[None]:
    """What the client raises, as sentences. Beneath it is requests in older versions and httpx in newer ones."""
    try:
        yield
    except DownloadError:
        raise
    except OfflineModeIsEnabled:
        raise order.error("the hub is switched off here (HF_HUB_OFFLINE)") from None
    except HfHubHTTPError as error:
        raise order.error(_status(error)) from error
    except Exception as error:
        raise order.error(
            f"the connection failed ({type(error).__name__}: {reason(error)}); what has arrived is kept, and getting it"
            " again goes on from there"
        ) from error


def _status(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status in (401, 403):
        return f"the server wants to know who asks (status {status}); set HF_TOKEN to a token that may read it"
    if status == 404:
        return "the server does not have this file (status 404); a mirror (HF_ENDPOINT) may lack it"
    return f"the server answers with status {status}; try again later"
