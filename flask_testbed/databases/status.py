"""Show the testbed's databases on a server, to a person or to another program."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ..clock import utc_now
from ..postgres.database import Database

#: Width to which names are shortened, so that the table fits a terminal of 80 columns.
WIDEST_NAME = 26
_WIDEST_USER = 8

HEADINGS = ["database", "kind", "schema", "made by", "age", "MB", "used by"]


def status_json(database: Database) -> dict[str, Any]:
    """Return what ``status --json`` shows of a database."""
    label = database.label
    return {
        "name": database.name,
        "kind": database.kind,
        "made_by": database.made_by,
        "made_at": database.made_at,
        "size": database.size,
        "connections": database.connections,
        "in_use": database.in_use,
        "current": database.current,
        "of": label.of if label else "",
        "label": label.title if label else "",
    }


def cells(database: Database) -> list[str]:
    """Return the row of a database in the table."""
    connections = [str(database.connections)] if database.connections else []
    return [
        shortened(database.name),
        database.kind,
        {True: "current", False: "another", None: "unknown"}[database.current],
        database.made_by.partition("@")[0][:_WIDEST_USER],
        age(database.made_at),
        megabytes(database.size),
        ", ".join(["a run"] * database.in_use + connections),
    ]


def shortened(name: str) -> str:
    """Return a name without its middle if it is long: names differ at their end."""
    if len(name) <= WIDEST_NAME:
        return name
    return f"{name[: WIDEST_NAME - 18]}…{name[-17:]}"


def megabytes(size: int | None) -> str:
    """Return a number of bytes in megabytes."""
    return "" if size is None else f"{size / 2**20:,.1f}"


def age(made_at: str) -> str:
    """Return the time since a moment in its greatest unit: days, hours or minutes.

    :param made_at: the moment in ISO 8601, or an empty text.
    """
    if not made_at:
        return ""
    span = utc_now() - datetime.fromisoformat(made_at)
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if span >= length:
            return f"{span // length}{unit}"
    return f"{max(span, timedelta()) // timedelta(minutes=1)}m"
