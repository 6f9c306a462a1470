"""What the command line says of a unit's fields is what the page says."""

from __future__ import annotations

from lib_ipadapter.session.unit import FIELDS

ABOUT = {
    field.name: f"{field.about} One of: {', '.join(field.choices)}." if field.choices else field.about
    for field in FIELDS
}
DEFAULT = {field.name: field.default for field in FIELDS}
