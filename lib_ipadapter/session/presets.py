"""Settings of a unit, saved and loaded by name: a small JSON file each, without pictures."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lib_ipadapter.errors import UnitError, reason, some
from lib_ipadapter.model.writing import whole
from lib_ipadapter.session.given import Given
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import PICTURES

LOG = logging.getLogger("IP-Adapter")

FOLDER = "ip-adapter-presets"

LONGEST_NAME = 100
"""Characters."""

UNPRINTABLE = frozenset({"Cc", "Cs"})
"""Categories of characters that no name may have; those that join an emoji's parts are none of these."""

MOST_BYTES = 1 << 20
"""Of a file; a preset has a few hundred."""

PLAIN = (str, int, float, bool, list, type(None))
"""What JSON gives back as it was."""

SAVED = tuple(field for field in FIELDS if field.type not in PICTURES and field.name != "enabled")
"""Fields that a preset has. Pictures are of one job, and a preset that enables a unit would do so unasked."""

Values = dict[str, Any]
"""Field name -> value, as the API takes it."""


@dataclass(frozen=True)
class Presets:
    """Those in one folder, which need not be there before the first is saved."""

    folder: Path
    bare_name: Callable[[str], str] = str
    """A model's name as chosen -> the name of its file."""

    def names(self) -> list[str]:
        """Every preset, sorted. Files that are none are left out, and the log says why."""
        return sorted(self._found(), key=str.casefold)

    def load(self, name: str) -> Values:
        """What was saved, each value one that its field may have; others are left out. Raises `UnitError`."""
        return _known(self._find(name).unit)

    def load_all(self) -> dict[str, Values]:
        """Every preset by name, sorted. What another page deletes meanwhile is left out."""
        return {name: _known(one.unit) for name, one in sorted(self._found().items(), key=lambda it: it[0].casefold())}

    def save(self, name: str, unit: Unit) -> str:
        """In place of a preset of that name, if there is one; gives the name that it got. Raises `UnitError`."""
        name = checked_name(name)
        values = {field.name: _plain(getattr(unit, field.name)) for field in SAVED}
        values["model"] = self.bare_name(unit.model) if unit.model else None
        text = json.dumps({"name": name, "unit": values}, indent=1)
        there = self._found().get(name)
        with whole(there.path if there else self.folder / file_name(name), UnitError) as part:
            part.write_text(text, encoding="utf-8")
        return name

    def delete(self, name: str) -> None:
        """Raises `UnitError` where there is none of that name, and where its file must stay."""
        path = self._find(name).path
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UnitError(
                f"The preset {_normal(name)!r} cannot be deleted ({reason(error)}); close what has {path.name} open, or"
                f" see to it that the WebUI may write in its folder {FOLDER}."
            ) from error

    def _find(self, name: str) -> _File:
        found = self._found()
        wanted = _normal(name)
        if wanted not in found:
            raise UnitError(f"There is no preset called {wanted[:LONGEST_NAME]!r}; there are {some(sorted(found))}.")
        return found[wanted]

    def _found(self) -> dict[str, _File]:
        """By the name inside a file: what the file itself is called is nobody's concern. Each is read once."""
        return dict(self._read_all())

    def _read_all(self) -> Iterator[tuple[str, _File]]:
        for path in sorted(self.folder.glob("*.json"), reverse=True):
            try:
                content = _read(path)
                yield content["name"], _File(path, content["unit"])
            except UnitError as error:
                LOG.warning(str(error))


@dataclass(frozen=True)
class _File:
    path: Path
    unit: Values


def checked_name(name: Any) -> str:
    """A name that a preset may have. Raises `UnitError`."""
    normal = _normal(name) if isinstance(name, str) else ""
    if not normal or len(normal) > LONGEST_NAME or UNPRINTABLE & {unicodedata.category(c) for c in normal}:
        raise UnitError(f"A preset needs a name of 1 to {LONGEST_NAME} printable characters, got {str(name)[:40]!r}.")
    return normal


def file_name(name: str) -> str:
    """One that every file system takes, different for each name, in which a person may recognise it."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower())[:40].strip("-")
    return f"{word or 'preset'}-{hashlib.sha256(name.encode()).hexdigest()[:12]}.json"


def _normal(name: str) -> str:
    return unicodedata.normalize("NFC", " ".join(name.split()))


def _plain(value: Any) -> Any:
    """Of a face or a saved prompt only its name: their numbers tell who or what is seen, and are no setting."""
    if isinstance(value, Given):
        return value.name or None
    value = list(value) if isinstance(value, tuple) else value
    return value if isinstance(value, PLAIN) else None


def _known(values: Mapping[str, Any]) -> Values:
    """Files may come from strangers, and from other versions."""
    known = {field.name: field for field in SAVED}
    found: Values = {}
    for name, value in values.items():
        if name not in known:
            continue
        try:
            found[name] = _plain(known[name].parse(value))
        except UnitError as error:
            LOG.warning("A preset's value is left out: %s", error)
    return found


def _read(path: Path) -> dict[str, Any]:
    """A preset's file. Raises `UnitError` for what is none."""
    try:
        found = json.loads(path.read_bytes()) if path.stat().st_size <= MOST_BYTES else "too large"
    except (OSError, ValueError, RecursionError):
        found = None
    if not (isinstance(found, dict) and isinstance(found.get("unit"), dict)):
        raise UnitError(f"{path.name} is no preset, and is ignored; delete it, or save the preset again.")
    return {**found, "name": checked_name(found.get("name"))}
