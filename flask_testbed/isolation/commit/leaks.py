"""What is in a test database at the end of a run that was not there at the start."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg import sql

from ...postgres.connecting import Connection

_TABLES = """
SELECT t.name, r.columns, r.copy
FROM flask_testbed.user_table t LEFT JOIN flask_testbed.restored_table r USING (oid)
WHERE r.oid IS NOT NULL OR pg_relation_size(t.oid) > 0
ORDER BY t.name
"""

# How many rows are in a table that was empty, and the transaction that wrote the last of them.
_COUNT = "SELECT count(*), max(xmin::text::bigint), 0 FROM ONLY {table}"

# Whether a table that had rows has others now. Rows are compared as text, since some types have no
# equality; and hashed, so that a million of them are compared in a second and in little memory.
_DIFFERS = """
SELECT
    (SELECT ROW(count(*), sum(hashtextextended(ROW({columns})::text, 0))) FROM ONLY {table})
    IS DISTINCT FROM
    (SELECT ROW(count(*), sum(hashtextextended(ROW({columns})::text, 0))) FROM {copy})
"""

# How many rows are in such a table that were not, the transaction that wrote the last of them, and
# how many are missing. A row counts as often as it is there.
_COMPARE = """
SELECT sum(greatest(surplus, 0))::bigint, max(writer) FILTER (WHERE surplus > 0),
    sum(greatest(-surplus, 0))::bigint
FROM (
    SELECT sum(number) AS surplus, max(writer) AS writer
    FROM (
        SELECT hashtextextended(ROW({columns})::text, 0) AS line, 1 AS number,
            xmin::text::bigint AS writer
        FROM ONLY {table}
        UNION ALL
        SELECT hashtextextended(ROW({columns})::text, 0), -1, NULL FROM {copy}
    ) AS lines
    GROUP BY line
) AS differences
"""


# What all databases of a server share and a test may have changed, and a hash of its value.
_SHARED = """
SELECT format('the role %I', rolname), '' FROM pg_roles
UNION ALL
SELECT format('the setting %s of the role %I', split_part(setting, '=', 1), rolname), md5(setting)
FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting
JOIN pg_roles r ON r.oid = setrole
WHERE setdatabase = 0
UNION ALL
SELECT format('the tablespace %I', spcname), '' FROM pg_tablespace
"""


@dataclass(frozen=True)
class Change:
    """The schema or the settings of the database are not as they were at the start."""

    what: str

    def __str__(self) -> str:
        return f"the database is not as it was at the start: {self.what}"


@dataclass(frozen=True)
class Leak:
    """A table that is not as it was at the start."""

    table: str
    added: int
    """Number of rows that were not in it."""

    missing: int
    """Number of rows that were in it, and are not."""

    test: str | None
    """Name of the last test during which rows were added, or None if that cannot be told."""

    def __str__(self) -> str:
        during = f"; written during {self.test}" if self.test else ""
        return (
            f"{self.table} is not as it was at the start: {self.added} rows too many,"
            f" {self.missing} missing{during}"
        )


class Horizons:
    """Which transactions took place during which test."""

    def __init__(self) -> None:
        self._ends: list[int] = []
        self._tests: list[str] = []

    def add(self, end: int, test: str) -> None:
        """Store where a test ended.

        :param end: the first later transaction (``pg_snapshot_xmax``).
        """
        self._ends.append(end)
        self._tests.append(test)

    def test_of(self, transaction: int) -> str | None:
        """Return the test during which a transaction took place."""
        place = bisect_right(self._ends, transaction)
        return self._tests[place] if place < len(self._tests) else None


def find_leaks(connection: Connection, horizons: Horizons) -> Sequence[Leak | Change]:
    """Compare a database that has been reset with what it was at the start.

    :param connection: for resets, in autocommit mode.
    """
    changes = connection.execute("SELECT command FROM flask_testbed.recorded_change LIMIT 1")
    found = [Change(command) for (command,) in changes.fetchall()]
    [(hidden,)] = connection.execute("SELECT flask_testbed.hidden_tables()").fetchall()
    if hidden is None:
        return [*found, *_leaks(connection, horizons)]
    # Policies would hide rows from the owner of these tables.
    with connection.transaction(force_rollback=True):
        connection.execute("SELECT flask_testbed.force_policies(%s::oid[], false)", [hidden])
        return [*found, *_leaks(connection, horizons)]


def find_shared(connection: Connection) -> frozenset[tuple[str, str]]:
    """Return what all databases of a server share and no reset undoes: roles, for example.

    :returns: what it is, in words, and a hash of its value.
    """
    return frozenset((what, value) for what, value in connection.execute(_SHARED))


def _leaks(connection: Connection, horizons: Horizons) -> Iterator[Leak]:
    for table, columns, copy in connection.execute(_TABLES).fetchall():
        # The server has quoted the names.
        parts = {"table": table, "columns": columns or "", "copy": copy or ""}
        names = {name: sql.SQL(part) for name, part in parts.items()}
        if copy is not None:
            [(differs,)] = connection.execute(sql.SQL(_DIFFERS).format(**names)).fetchall()
            if not differs:
                continue
        compare = sql.SQL(_COUNT if copy is None else _COMPARE).format(**names)
        [(added, last, missing)] = connection.execute(compare).fetchall()
        if added or missing:
            yield Leak(table, added, missing, horizons.test_of(last) if last else None)
