"""The three forms of data, a folder, JSONL and a JSON list, as names and contents. What cannot be read is rejected."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import TrainingError, reason
from lib_ipadapter.session.files import printable

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")
ENCODING = "utf-8-sig"
"""UTF-8, whose mark Windows' editors put in front."""
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""What a text in UTF-16 begins with; Windows' "Unicode" is that."""


class Problem(str, Enum):
    """Why an entry is skipped."""

    MALFORMED = "malformed"
    OUTSIDE = "outside the data folder"
    MISSING = "missing"
    CORRUPT = "corrupt"
    TINY = "tiny"
    EMPTY_CAPTION = "empty caption"
    DUPLICATE = "duplicate"


@dataclass(frozen=True)
class Rejected:
    """An entry that is not trained on."""

    name: str
    problem: Problem
    detail: str = ""

    def __str__(self) -> str:
        return printable(f"{self.name}: {self.problem.value}" + (f" ({self.detail})" if self.detail else ""))


def read_records(data: Path, output: Path | None = None) -> Iterator[tuple[str, Any] | Rejected]:
    """Name and content of each record. `output`: a folder whose pictures are no data, because a run draws them."""
    try:
        if data.is_dir():
            yield from _folder(data, output)
        elif data.suffix == ".jsonl":
            with data.open(encoding=ENCODING) as lines:
                yield from (_line(number, line) for number, line in enumerate(lines, 1) if line.strip())
        elif data.suffix == ".json":
            yield from ((f"entry {number}", record) for number, record in enumerate(_list(data), 1))
        else:
            raise TrainingError(f"{data} is no data that is known; give a folder, a .jsonl file or a .json list.")
    except (FileNotFoundError, NotADirectoryError):
        raise TrainingError(f"There is no data {data}; give a folder, a .jsonl file or a .json list.") from None
    except UnicodeDecodeError as error:
        raise TrainingError(f"{data} is not text in UTF-8 ({error.reason}); save it as UTF-8.") from error
    except OSError as error:
        raise TrainingError(f"{data} cannot be read ({reason(error)}); give data that can.") from error


def _folder(folder: Path, output: Path | None) -> Iterator[tuple[str, Any] | Rejected]:
    own = output.absolute() if output and output.absolute() != folder.absolute() else None
    for path in sorted(folder.rglob("*")):
        if own and path.absolute().is_relative_to(own):
            continue
        if path.suffix.lower() in PICTURES and path.is_file():
            yield _captioned(path, folder)


def _captioned(path: Path, folder: Path) -> tuple[str, Any] | Rejected:
    name, caption = path.relative_to(folder).as_posix(), path.with_suffix(".txt")
    try:
        return name, {"image_file": name, "text": _caption(caption, folder)}
    except UnicodeDecodeError:
        return Rejected(name, Problem.MALFORMED, "its caption is not UTF-8; save it as UTF-8")
    except OSError as error:
        return Rejected(name, Problem.MALFORMED, f"its caption cannot be read: {reason(error)}")


def _caption(path: Path, folder: Path) -> str:
    """Empty where there is none, or where a link leads out of the data folder. Raises `UnicodeDecodeError`."""
    if not path.is_file() or not path.resolve().is_relative_to(folder.resolve()):
        return ""
    content = path.read_bytes()
    return content.decode("utf-16" if content.startswith(UTF_16) else ENCODING).strip()


def _line(number: int, line: str) -> tuple[str, Any] | Rejected:
    try:
        return f"line {number}", _parsed(line)
    except json.JSONDecodeError as error:
        return Rejected(f"line {number}", Problem.MALFORMED, error.msg)


def _list(data: Path) -> list[Any]:
    text = data.read_text(encoding=ENCODING)
    try:
        records = _parsed(text)
    except json.JSONDecodeError as error:
        raise TrainingError(f"{data} is not JSON (line {error.lineno}: {error.msg}).") from error
    if not isinstance(records, list):
        begins = text.strip()[:40]
        raise TrainingError(f'{data} must be a list of {{"image_file": ..., "text": ...}}; it begins with {begins!r}.')
    return records


def _parsed(text: str) -> Any:
    """Raises `json.JSONDecodeError`, also for what Python will not nest or count so far."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise json.JSONDecodeError("Nested too deeply", text, 0) from None
    except ValueError:
        raise json.JSONDecodeError("A number has too many digits", text, 0) from None
