"""One file to get: from where, to where, what it must be, and what to say where it cannot be had."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import hf_hub_url

from lib_ipadapter.errors import DownloadError, reason
from lib_ipadapter.model.weights_file import sha256
from lib_ipadapter.session.remote import Remote, Repository


@dataclass(frozen=True)
class Digest:
    """A content's hash, as the hub names large files (SHA-256) and small ones (git's blob, SHA-1)."""

    value: str

    @classmethod
    def of_etag(cls, etag: str | None) -> Digest | None:
        """None where a mirror names contents in a way of its own."""
        known = re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", etag or "")
        return cls(known[0]) if known else None

    def of_same_kind(self, path: Path) -> str:
        """The hash of a file, to be compared with this one."""
        if len(self.value) == 64:
            return sha256(path)
        content = path.read_bytes()
        return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@dataclass(frozen=True)
class Order:
    """One file to get."""

    url: str
    target: Path
    published: str | None
    """SHA-256."""

    @classmethod
    def of(cls, repository: Repository, remote: Remote, target: Path) -> Order:
        """HF_ENDPOINT is looked at now: the client does so only when it is imported."""
        endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or None
        url = hf_hub_url(repository.name, remote.path, revision=repository.revision, endpoint=endpoint)
        return cls(url, target, remote.sha256)

    @property
    def by_hand(self) -> str:
        """What to do without this program."""
        known = f"its SHA-256 is {self.published}" if self.published else "its SHA-256 is not known here"
        return f"by hand: download {self.url} and put it at {self.target}; {known}."

    def error(self, what: str) -> DownloadError:
        """A sentence that ends with the way by hand."""
        return DownloadError(f"{self.target.name}: {what}; {self.by_hand}")

    def disk_full(self, why: str) -> DownloadError:
        """The error of a disk that is full."""
        return DownloadError(
            f"{self.target.name}: the disk of {self.target.parent} is full ({why}); free some space and get it again,"
            " which goes on with what has arrived."
        )

    def cannot_write(self, error: OSError) -> DownloadError:
        """The error of a folder that cannot be written into."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return self.disk_full(reason(error))
        return DownloadError(
            f"{self.target.name} cannot be written into {self.target.parent} ({reason(error)});"
            " give another folder, or the right to write there."
        )
