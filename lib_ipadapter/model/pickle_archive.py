"""The zip around PyTorch's weights: whether torch will find in it what is found here, and no program."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from lib_ipadapter.errors import CheckpointError

BEGIN = b"PK\x03\x04"
"""By this torch knows a zip, whatever stands at its end."""

END = struct.Struct("<4s4H2LH")
"""Signature, four counts, the directory's length and place, length of a comment."""
LOCATOR = struct.Struct("<4sLQL")
"""Signature, a count, the place of the large end, a count. It stands before the end."""
LARGE_END = struct.Struct("<4sQ2H2L4Q")
"""Signature, seven counts, the directory's length and place. It stands before its locator; torch always writes one."""


def check_archive(archive: zipfile.ZipFile, path: Path) -> None:
    """Before torch sees it: 2.5 and older run a TorchScript program, whatever ``weights_only`` says (CVE-2025-32434).

    Torch looks for names in any case, cuts long ones off, and asks little of the letter before them. It stores, it
    never compresses; what would unpack to more than its file is made to fill memory.
    """
    if _directory_place(path) != archive.start_dir:
        raise CheckpointError(
            f"{path.name} is damaged: its list of contents is not where its end says; download it again."
        )
    members = archive.infolist()
    names = [member.filename.casefold() for member in members]
    if any("constants.pkl" in name or "/code/" in name for name in names):
        raise CheckpointError(f"{path.name} is a TorchScript program, not weights, and was not run; get another file.")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise CheckpointError(f"{path.name} is damaged: it claims more weights than the file holds; download it again.")


def _directory_place(path: Path) -> int | None:
    """Where the only directory is that any reader can find; None where two readers may find two.

    Torch's reader goes where the file's end says, Python's counts back from that end, and only one that looks for the
    end sees a comment. In what torch writes each part begins where the one before it ends.
    """
    size = path.stat().st_size
    most = END.size + LOCATOR.size + LARGE_END.size
    with path.open("rb") as file:
        file.seek(max(0, size - most))
        tail = file.read().rjust(most, b"\0")
    signature, *_, length, place, comment = END.unpack(tail[-END.size :])
    sound, end = signature == b"PK\x05\x06" and not comment, size - END.size
    locator, _, found, _ = LOCATOR.unpack(tail[LARGE_END.size : -END.size])
    if locator == b"PK\x06\x07":
        large, *_, length, place = LARGE_END.unpack(tail[: LARGE_END.size])
        sound, end = sound and large == b"PK\x06\x06" and found == size - most, size - most
    return place if sound and place + length == end else None
