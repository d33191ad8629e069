"""Copy layers from one database into another that was cloned from the same template."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from ...postgres.connecting import Connection
from .row_copy import Table

_COPIES = """
SELECT l.layer, l.oid, l.name, l.copy, l.is_whole,
    coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attnum), ''),
    coalesce(string_agg(format('%%I %%s', attname, format_type(atttypid, atttypmod)), ', '
                        ORDER BY attnum), '')
FROM flask_testbed.layer_table l LEFT JOIN pg_attribute
    -- The first two are the place and the writer of a row, which mean nothing elsewhere.
    ON attrelid = l.copy::regclass AND attnum > CASE WHEN is_whole THEN 0 ELSE 2 END
WHERE l.layer = ANY (%s)
GROUP BY l.layer, l.oid ORDER BY l.layer, l.oid
"""
_SEQUENCES = """
SELECT layer, oid, last_value FROM flask_testbed.layer_sequence WHERE layer = ANY (%s)
"""


@dataclass(frozen=True)
class _Copy:
    """A layer's copy of a table, and its rows."""

    layer: int
    oid: int
    name: str
    """Name of the table."""

    is_whole: bool
    """Whether the copy has no places and writers of rows."""

    columns: str
    definition: str
    """The columns with their types, as the server writes them."""

    rows: IO[bytes]


class SavedLayers:
    """The layers of a database, read into temporary files.

    :param connection: to the database.
    :param numbers: of the layers.
    :param files: closes the files.
    """

    def __init__(self, connection: Connection, numbers: list[int], files: ExitStack) -> None:
        self._copies = []
        for layer, oid, name, copy, is_whole, columns, definition in connection.execute(
            _COPIES, [numbers]
        ).fetchall():
            rows = files.enter_context(Table(copy, columns).rows(connection))
            self._copies.append(_Copy(layer, oid, name, is_whole, columns, definition, rows))
        self._sequences = connection.execute(_SEQUENCES, [numbers]).fetchall()

    def restore(self, connection: Connection) -> None:
        """Replace the layers of another database. The next reset restores their rows."""
        connection.execute("SELECT flask_testbed.forget_layers(true)")
        for copy in self._copies:
            [(name,)] = connection.execute(
                "SELECT flask_testbed.create_copy(%s, %s::oid, %s, %s, %s)",
                [copy.layer, copy.oid, copy.name, copy.is_whole, copy.definition],
            ).fetchall()
            # A layer that has changed the schema may have dropped the table.
            if name is not None:
                Table(name, copy.columns).insert(connection, copy.rows)
        connection.cursor().executemany(
            "INSERT INTO flask_testbed.layer_sequence VALUES (%s, %s::oid, %s)", self._sequences
        )
        connection.execute("SELECT flask_testbed.choose_copies()")
