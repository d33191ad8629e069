"""What is in a test database at the end that was not put back, and whose it is."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from psycopg import sql

from ...postgres.connecting import Connection

_SUSPECTS = """
SELECT t.name, f.columns, f.copy
FROM flask_testbed.user_table t LEFT JOIN flask_testbed.filled f ON f.oid = t.oid
WHERE f.oid IS NOT NULL OR pg_relation_size(t.oid) > 0
ORDER BY t.name
"""
_ALL = "SELECT count(*), max(xmin::text::bigint), 0 FROM ONLY {table}"
# Rows are compared as text: not every type has an equality.
_STRANGE = """
SELECT count(*), max(xmin::text::bigint), (
    SELECT count(*) FROM (
        SELECT ROW({columns})::text FROM {copy}
        EXCEPT ALL SELECT ROW({columns})::text FROM ONLY {table}) AS missing)
FROM ONLY {table}
WHERE ROW({columns})::text NOT IN (SELECT ROW({columns})::text FROM {copy})
"""


@dataclass(frozen=True)
class Leak:
    """A table that is not as it was at the start."""

    table: str
    strange: int
    """Rows that were not in it."""

    missing: int
    """Rows that were in it, and are not."""

    test: str | None
    """The last in which something was written to it, if that can be told."""

    def __str__(self) -> str:
        during = f"; written during {self.test}" if self.test else ""
        return (
            f"{self.table} is not as it was at the start: {self.strange} rows too many,"
            f" {self.missing} missing{during}"
        )


@dataclass
class Horizons:
    """How far the server's count of transactions was at the end of each test."""

    _ends: list[int] = field(default_factory=list)
    _tests: list[str] = field(default_factory=list)

    def add(self, end: int, test: str) -> None:
        """Note where a test ended.

        :param end: the first transaction that is later (``pg_snapshot_xmax``).
        """
        self._ends.append(end)
        self._tests.append(test)

    def test_of(self, transaction: int) -> str | None:
        """The test during which a transaction took place."""
        place = bisect_right(self._ends, transaction)
        return self._tests[place] if place < len(self._tests) else None


def find_leaks(connection: Connection, horizons: Horizons) -> Sequence[Leak]:
    """Compare a database that has been put back with what it was at the start.

    :param connection: one for resets, in autocommit mode.
    """
    return list(_leaks(connection, horizons))


def _leaks(connection: Connection, horizons: Horizons) -> Iterator[Leak]:
    for table, columns, copy in connection.execute(_SUSPECTS).fetchall():
        # The names come quoted from the database itself.
        parts = {"table": table, "columns": columns, "copy": copy}
        query = _ALL if copy is None else _STRANGE
        strange, last, missing = connection.execute(
            sql.SQL(query).format(**{key: sql.SQL(part or "") for key, part in parts.items()})
        ).fetchone() or (0, None, 0)
        if strange or missing:
            yield Leak(table, strange, missing, horizons.test_of(last) if last else None)
