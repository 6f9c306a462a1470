"""The data: which picture, which caption, which reference. Three forms, and no path out of the data folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import TrainingError
from lib_ipadapter.training.records import Problem, Rejected, read_records


@dataclass(frozen=True)
class Entry:
    """One example."""

    name: str
    """As the list or the folder has it; messages say this."""
    image: Path
    """What is to be drawn."""
    text: str
    cond_image: Path | None = None
    """The reference, where it is not `image` itself."""

    @property
    def reference(self) -> Path:
        """The picture that the encoder sees."""
        return self.cond_image or self.image


def read_entries(
    data: Path, image_root: Path | None = None, output: Path | None = None
) -> tuple[list[Entry], list[Rejected]]:
    """What `data` names, and what it names wrongly; nothing below `output`. No picture is opened.

    Raises `TrainingError`.
    """
    root = (image_root or (data if data.is_dir() else data.parent)).resolve()
    good: list[Entry] = []
    bad: list[Rejected] = []
    for found in read_records(data, output):
        entry = _entry(found, root) if isinstance(found, tuple) else found
        (good if isinstance(entry, Entry) else bad).append(entry)  # pyright: ignore[reportArgumentType]
    if not good and not bad:
        raise TrainingError(f"{data} holds no entries; expected pictures with .txt captions, or a list of them.")
    return good, bad


def _entry(record: tuple[str, Any], root: Path) -> Entry | Rejected:
    name, content = record
    if not isinstance(content, dict) or not isinstance(content.get("image_file"), str):
        return Rejected(name, Problem.MALFORMED, "expected an object with image_file and text")
    name, text, cond = content["image_file"], content.get("text", ""), content.get("cond_image")
    if not isinstance(text, str) or not isinstance(cond, str | None):
        return Rejected(name, Problem.MALFORMED, "text and cond_image must be strings")
    if not _encodes(text):
        return Rejected(name, Problem.MALFORMED, "text holds half a character (an unpaired surrogate)")
    paths: list[Path] = []
    for file in [name, cond] if cond else [name]:
        try:
            path = (root / file).resolve()
        except (OSError, ValueError, RuntimeError) as error:  # a null character, a circle of links
            return Rejected(name, Problem.MALFORMED, type(error).__name__)
        if not path.is_relative_to(root):
            return Rejected(name, Problem.OUTSIDE, file)
        paths.append(path)
    return Entry(name, paths[0], text.strip(), paths[1] if cond else None)


def _encodes(text: str) -> bool:
    """Whether hashes and tokenizers can take it: JSON's escapes may name half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
