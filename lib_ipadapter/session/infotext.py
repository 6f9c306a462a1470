"""A picture's generation parameters: written for every active unit, read back when pasted.

One key per unit, ``IP-Adapter 1``, with a value like ``model: ip-adapter_sd15, scale: 0.6, start: 0.0, end: 1.0,
image: 3f2a9c01``. Names that hold a comma, colon or quote are written as JSON strings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from lib_ipadapter.errors import UnitError
from lib_ipadapter.session.unit import FIELDS, Unit
from lib_ipadapter.session.unit.field import GIVEN, PICTURES, Field, Type

KEY = "IP-Adapter"
HASH_LENGTH = 12
"""Characters of the picture's hash that are written."""

PAIR = re.compile(r'\b(\w+):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
PLAIN = re.compile(r'[^,:"\s][^,:"\n]*(?<!\s)')

Parameters = Mapping[str, Any]


def write(units: Sequence[Unit], bare_name: Callable[[str], str]) -> dict[str, str]:
    """What to add to a picture's parameters: one key for each unit that acts, numbered as the user gave them.

    `bare_name`: a model's name as chosen -> the name of its file.
    """
    return {f"{KEY} {i}": describe(unit, bare_name) for i, unit in enumerate(units, 1) if unit.active}


def write_each(units: Sequence[Unit], bare_name: Callable[[str], str], items: int) -> dict[str, str | list[str]]:
    """`write` for a job of so many pictures: a list where they differ, because each has a reference of its own."""
    bare_name = cache(bare_name)  # it looks through folders
    found: dict[str, str | list[str]] = dict(write(units, bare_name))
    for number, unit in enumerate(units, 1):
        if unit.active and unit.in_turn and items > 1:
            found[f"{KEY} {number}"] = [describe(unit, bare_name, item) for item in range(items)]
    return found


def describe(unit: Unit, bare_name: Callable[[str], str], item: int = 0) -> str:
    """One unit as text; a unit that acts is enabled, so that is not written. `item`: of the job's pictures, from 0."""
    pairs = {f.name: getattr(unit, f.name) for f in FIELDS if f.type is Type.NUMBER and not f.rare}
    pairs = {"model": bare_name(unit.model or ""), **pairs, "image": unit.image_hash[:HASH_LENGTH], **_rare(unit)}
    if unit.in_turn:
        start = unit.batch_start + item  # the same reference as its remainder, which is only easier to read
        pairs["batch_start"] = start % unit.turns if unit.turns else start
    return ", ".join(f"{name}: {_quoted(str(value))}" for name, value in pairs.items())


def _rare(unit: Unit) -> dict[str, Any]:
    """What few adapters know, where it was set. An embedding tells who a person is: only its hash is written."""
    pairs: dict[str, Any] = {}
    for field in (f for f in FIELDS if f.rare and getattr(unit, f.name) != f.default):
        value = getattr(unit, field.name)
        if field.type in PICTURES:
            pairs[field.hash_key] = " ".join(found[:HASH_LENGTH] for found in unit.hashes[field.name])
        elif field.type in GIVEN:
            pairs[field.name if value.name else field.hash_key] = value.label
        else:
            pairs[field.name] = value
    return pairs


def whole_text(prompt: str, negative: str, pairs: Mapping[str, Any]) -> str:
    """A picture's whole parameters, as the WebUI writes and pastes them: prompts, and a line of pairs.

    A value that would divide the line stands in quotes (infotext_utils.py:56, quote).
    """
    said = {name: str(value) for name, value in pairs.items()}
    dividing = {name for name, text in said.items() if set(text) & {",", ":", "\n"}}
    quoted = {name: json.dumps(text, ensure_ascii=False) if name in dividing else text for name, text in said.items()}
    line = ", ".join(f"{name}: {text}" for name, text in quoted.items())
    return "\n".join([prompt, *([f"Negative prompt: {negative}"] if negative else []), line])


def read(parameters: Parameters, number: int) -> dict[str, Any]:
    """The fields of unit `number`, 1 and up, as far as they can be understood; empty when it was not active.

    Infotext comes from strangers: unknown names are ignored, what has no meaning keeps its default, and nothing here
    opens a file. Hashes of pictures, faces and prompts come back as they were written, under the names of their fields,
    those of what was given as numbers under ``face_hash``; whether they are such is for the caller to see.
    """
    found = _pairs(parameters, number)
    if found is None:
        return {}
    values = {name: _parsed(READ[name], value)[0] for name, value in found.items() if name in READ}
    hashes = {name: found[name] for name in HASHED if name in found}
    return {"enabled": True, "image": "", **hashes, **{k: v for k, v in values.items() if v is not None}}


def misread(parameters: Parameters, number: int) -> list[str]:
    """What the text of unit `number` names and `read` cannot take as it stands: unknown, out of range, no such value.

    As sorted names of at most `LETTERS_SHOWN` letters; a stranger chose them.
    """
    found = _pairs(parameters, number) or {}
    fitting = {name for name, value in found.items() if name in READ and _parsed(READ[name], value)[1]}
    return sorted(name[:LETTERS_SHOWN] for name in found.keys() - fitting - {*HASHED})


def beyond(parameters: Parameters, units: int) -> list[int]:
    """Numbers of units that the parameters have and a panel of so many units has no place for."""
    numbered = (re.fullmatch(rf"{KEY} (\d{{1,3}})", str(key)) for key in parameters)
    return sorted(int(found[1]) for found in numbered if found and int(found[1]) > units)


READ = {field.name: field for field in FIELDS if field.type not in (Type.SWITCH, *PICTURES)}
"""Fields whose value stands in the text."""

HASHED = [field.hash_key for field in FIELDS if field.type in (*PICTURES, *GIVEN)]
"""What stands for a content in the text."""

LETTERS_SHOWN = 24


def _pairs(parameters: Parameters, number: int) -> dict[str, str] | None:
    """Name -> value, as written; None for a unit that was not active."""
    text = parameters.get(f"{KEY} {number}")
    return {name: _unquoted(value) for name, value in PAIR.findall(text)} if isinstance(text, str) else None


def _parsed(field: Field, value: str) -> tuple[Any, bool]:
    """`value` as the field holds it, clamped into its range, None without a meaning; and whether it stood so."""
    try:
        given = float(value) if field.type in (Type.NUMBER, Type.INTEGER) else value
        clamped = min(max(given, field.minimum), field.maximum) if isinstance(given, float) else given
        parsed = field.parse(clamped)
    except (UnitError, ValueError):
        return None, False
    return (parsed.name or None) if parsed and field.type in GIVEN else parsed, clamped == given


def _quoted(text: str) -> str:
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text.strip()
    try:
        return str(json.loads(text))
    except ValueError:
        return text
