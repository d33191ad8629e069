"""Reading one row by its key, and keeping one."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, TypeVar

from app.api.problems import Unknown
from app.extensions import Base, db

__all__ = ["assign", "fetch", "save"]

Row = TypeVar("Row", bound=Base)


def fetch(model: type[Row], key: uuid.UUID | int, *, lock: bool = False) -> Row:
    """The row with this key.

    :param lock: Let nobody else change it before this transaction ends.
    :raises Unknown: There is none.
    """
    row = db.session.get(model, key, with_for_update=lock)
    if row is None:
        raise Unknown(f"There is no {model.__name__} with the key {key}.")
    return row


def save(row: Row) -> Row:
    """Commit what the session holds, ``row`` among it."""
    db.session.add(row)
    db.session.commit()
    return row


def assign(row: Base, values: Mapping[str, Any]) -> None:
    """Set the attributes of ``row`` that ``values`` names."""
    for name, value in values.items():
        setattr(row, name, value)
