"""What exists on a server of the engine's, for a person or another program."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..postgres.cluster import UNFINISHED, Cluster, Found

#: The widest that a name is shown: a table must fit a terminal of 80 columns.
WIDEST_NAME = 26
_WIDEST_USER = 8


@dataclass(frozen=True)
class Row:
    """A database, in a status."""

    name: str
    kind: str
    made_by: str
    made_at: str
    size: int | None
    """Bytes; ``None`` where one may not look."""
    connections: int
    in_use: bool
    current: bool | None
    """Whether its schema is the application's; ``None`` where there is no telling."""
    of: str = ""
    """Of a snapshot: the database that it is a copy of."""
    label: str = ""
    """Of a snapshot: its name."""


def describe(cluster: Cluster, found: Found, fingerprint: str) -> Row:
    """Look at a database.

    :param fingerprint: that of the application's schema of now.
    """
    mark = found.mark
    kind = mark.kind if mark else "foreign"
    return Row(
        name=found.name,
        kind="unfinished" if found.name.startswith(UNFINISHED) else kind,
        made_by=mark.made_by if mark else found.owner,
        made_at=mark.made_at if mark else "",
        size=cluster.size(found.name),
        connections=found.connections,
        in_use=cluster.is_locked(found.name),
        current=mark.fingerprint == fingerprint if mark else None,
        of=mark.of if mark else "",
        label=mark.label if mark else "",
    )


HEADINGS = ["database", "kind", "schema", "made by", "age", "MB", "used by"]


def cells(row: Row) -> list[str]:
    """A row of a table that fits a terminal. All that is known of it is in the JSON."""
    return [
        shortened(row.name),
        row.kind,
        {True: "current", False: "another", None: "unknown"}[row.current],
        row.made_by.partition("@")[0][:_WIDEST_USER],
        age(row.made_at),
        megabytes(row.size),
        ", ".join(["a run"] * row.in_use + [str(row.connections)] * (row.connections > 0)),
    ]


def shortened(name: str) -> str:
    """A name, without its middle if it is long: its end is what tells one from the other."""
    if len(name) <= WIDEST_NAME:
        return name
    return f"{name[: WIDEST_NAME - 18]}…{name[-17:]}"


def megabytes(size: int | None) -> str:
    """Bytes as megabytes."""
    return "" if size is None else f"{size / 2**20:,.1f}"


def age(made_at: str) -> str:
    """How long ago that was, in its greatest unit."""
    if not made_at:
        return ""
    span = datetime.now(UTC) - datetime.fromisoformat(made_at)
    for unit, length in (("d", timedelta(days=1)), ("h", timedelta(hours=1))):
        if span >= length:
            return f"{span // length}{unit}"
    return f"{max(span, timedelta()) // timedelta(minutes=1)}m"
